"""The loop that most tutorials write, with torch and torchvision alone: the baseline of the benchmarks.

A DataLoader turns images into tensors one by one, `backward` computes every gradient there is, optimizers have torch's
default implementation, and the losses are read in each step.
"""

from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


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
