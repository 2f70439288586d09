"""The loop that most tutorials write, with torch and torchvision alone: the baseline of the benchmarks.

    python -m benchmarks.tutorial --side 28 --seed 0 --out last.pt     # trains DCGAN on MNIST, until it is stopped

A DataLoader turns images into tensors one by one, `backward` computes every gradient there is, optimizers have torch's
default implementation, and the losses are read in each step.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

# The numbers of the DCGAN tutorial (Radford et al. 2016, section 4)
BATCH_SIZE, NOISE_DIM, WIDTH, RATE, BETAS = 128, 100, 64, 2e-4, (0.5, 0.999)
SAVE_EVERY = 100


class ImageByImage(Dataset):
    """Images as torchvision's MNIST and CIFAR10 return them: one at a time, through PIL and transforms.

    Args:
        images: uint8 (N, C, H, W).
        size: side that each image is resized to when it is read, or None.
        pixel_range: the values that 0 and 255 become, (-1, 1) or (0, 1).
    """

    def __init__(self, images: Tensor, size: int | None, pixel_range: tuple[float, float]) -> None:
        self.images = images.permute(0, 2, 3, 1).squeeze(-1).numpy()
        resize = [transforms.Resize(size)] if size else []
        normalize = [transforms.Normalize(0.5, 0.5)] if pixel_range[0] < 0 else []
        self.transform = transforms.Compose([*resize, transforms.ToTensor(), *normalize])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.fromarray(self.images[index]))


def tutorial_loop(
    networks: tuple[nn.Module, nn.Module],
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    images: Dataset,
    *,
    batch_size: int,
    noise_dim: int,
    update: str,
    reuse_fakes: bool,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    """Train without end, and yield the logged values of each step.

    `networks` and `optimizers` are those of G and of D, which returns logits (B,).
    """
    loader = DataLoader(images, batch_size=batch_size, shuffle=True, drop_last=True)
    criterion = nn.BCELoss()
    generator, discriminator = networks
    optimizer_g, optimizer_d = optimizers
    ones, zeros = torch.ones(batch_size, device=device), torch.zeros(batch_size, device=device)

    def discriminate(images: Tensor) -> Tensor:
        return torch.sigmoid(discriminator(images))

    def generate() -> Tensor:
        return generator(torch.randn(batch_size, noise_dim, device=device))

    def train_discriminator(real: Tensor, fake: Tensor) -> dict[str, Any]:
        optimizer_d.zero_grad()
        real_output, fake_output = discriminate(real), discriminate(fake)
        loss = criterion(real_output, ones) + criterion(fake_output, zeros)
        loss.backward()
        optimizer_d.step()
        return {"d": loss.item(), "d_real": real_output.mean().item(), "d_fake": fake_output.mean().item()}

    def train_generator(fake: Tensor) -> dict[str, Any]:
        optimizer_g.zero_grad()
        loss = criterion(discriminate(fake), ones)
        loss.backward()
        optimizer_g.step()
        return {"g": loss.item()}

    def train_both(real: Tensor, fake: Tensor) -> dict[str, Any]:
        real_output, fake_output = discriminate(real), discriminate(fake)
        loss_d = (-torch.log(real_output) - torch.log(1 - fake_output)).mean()
        loss_g = -torch.log(fake_output).mean()
        optimizer_d.zero_grad()
        loss_d.backward(retain_graph=True)
        weights = list(discriminator.parameters())
        gradients = [weight.grad.clone() for weight in weights if weight.grad is not None]
        optimizer_g.zero_grad()
        loss_g.backward()
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        optimizer_d.step()
        optimizer_g.step()
        return {"d": loss_d.item(), "g": loss_g.item()}

    while True:
        for batch in loader:
            real = batch.to(device)
            if update == "simultaneous":
                yield train_both(real, generate())
            elif update == "generator_first":
                yield train_generator(generate()) | train_discriminator(real, generate())
            elif reuse_fakes:
                fake = generate()
                yield train_discriminator(real, fake.detach()) | train_generator(fake)
            else:
                yield train_discriminator(real, generate()) | train_generator(generate())


def build_dcgan(side: int) -> tuple[nn.Module, nn.Module]:
    """G and D of DCGAN for gray images. At a side of 64 they are those of the paper."""
    from gan.data.image_shape import ImageShape
    from gan.models import dcgan

    image = ImageShape(1, side)
    options: dict[str, Any] = {"width": WIDTH, "norm": "batch", "dropout": 0.0, "init": "normal", "init_scale": 0.02}
    generator = dcgan.Generator(image, NOISE_DIM, activation="relu", output="tanh", **options)
    return generator, dcgan.Discriminator(image, activation="leaky_relu", **options)


def main() -> None:
    """Train DCGAN on MNIST without end, and save G every 100 steps."""
    from gan.data import datasets

    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GAN_DATA", "data")))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    generator, discriminator = networks = build_dcgan(args.side)
    mnist = datasets.mnist(args.data, args.data, "train", limit=None, image_size=None)
    images = ImageByImage(mnist.images, args.side if args.side != mnist.shape.size else None, (-1, 1))
    steps = tutorial_loop(
        networks,
        (
            torch.optim.Adam(generator.parameters(), lr=RATE, betas=BETAS),
            torch.optim.Adam(discriminator.parameters(), lr=RATE, betas=BETAS),
        ),
        images,
        batch_size=BATCH_SIZE,
        noise_dim=NOISE_DIM,
        update="discriminator_first",
        reuse_fakes=True,
        device=torch.device("cpu"),
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for number, _ in enumerate(steps, 1):
        if number % SAVE_EVERY == 0:
            part = args.out.with_suffix(".part")
            torch.save({"side": args.side, "generator": generator.state_dict()}, part)
            part.replace(args.out)


if __name__ == "__main__":
    main()
