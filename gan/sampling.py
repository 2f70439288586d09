"""From noise to images, and from images to grids, films and walks."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from gan.config.errors import ConfigError
from gan.config.schema import Sampling
from gan.noise import Noise
from gan.system import files, randomness

MAX_GIF_FRAMES = 500  # frames, which lie in memory until the last is there


@torch.no_grad()
def generate(generator: nn.Module, noise: Tensor, labels: Tensor | None, batch_size: int) -> Tensor:
    """Images for `noise` (n, dim), of the classes `labels` (n,) where the generator is told of classes.

    `batch_size` are drawn at a time. Returns uint8 (n, C, H, W) on the CPU.

    BatchNorm uses its running statistics, so that a image does not depend on its neighbours; and the range
    of the pixels is the generator's own, so that brightness can be compared between grids.
    """
    was_training = generator.training
    generator.eval()
    low, high = generator.pixel_range
    given = [noise.split(batch_size)] if labels is None else [noise.split(batch_size), labels.split(batch_size)]
    parts = [
        ((generator(*part).float() - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8).cpu()
        for part in zip(*given, strict=True)
    ]
    generator.train(was_training)
    return torch.cat(parts)


def cycle_labels(classes: int, count: int, device: torch.device, first: int = 0) -> Tensor | None:
    """Labels int64 (count,) that go through the classes again and again, from `first` on; None without classes."""
    return torch.arange(first, first + count, device=device) % classes if classes else None


def image_grid(images: Tensor, classes: int = 0) -> Image.Image:
    """Images uint8 (n, C, H, W) in rows: a column for each class if they go through so many, or near to a square."""
    columns = classes if 0 < classes <= len(images) else math.ceil(math.sqrt(len(images)))
    colours = images.shape[1]  # make_grid repeats a single one
    return to_pil_image(make_grid(images, nrow=columns, padding=1, pad_value=64)[:colours])


def read_image(path: Path) -> Image.Image:
    """A image from a file, which is closed again."""
    with Image.open(path) as opened:
        return opened.copy()


def image_size(path: Path) -> tuple[int, int]:
    """Of the image in a file, in pixels across and down."""
    with Image.open(path) as opened:
        return opened.size


def write_gif(frames: Iterable[Image.Image], file: BinaryIO, fps: float) -> None:
    """Write `frames`, one or more, as a GIF that begins again at its end."""
    first, *rest = frames
    first.save(file, format="gif", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)


def write_samples_gif(folder: Path, fps: float) -> None:
    """The film of a run's grids. Those of another size than the last are left out."""
    paths = sorted((folder / "samples").glob("step_*.png"))
    last = image_size(paths[-1])
    alike = [path for path in paths if image_size(path) == last]  # watch.samples may have changed on the way
    thinned = alike[: -1 : max(1, math.ceil((len(alike) - 1) / (MAX_GIF_FRAMES - 1)))]
    with files.atomic_write(folder / "samples.gif", durable=False) as file:
        write_gif(map(read_image, [*thinned, alike[-1]]), file, fps)


def write_samples(generator: nn.Module, noise: Noise, asked: Sampling, device: torch.device) -> Path:
    """Draw what was asked of sample.py. Returns the file or folder that holds it."""
    endings = {"grid": ".png", "png": "", "npz": ".npz", "interpolation": ".gif"}
    of_class = "" if asked.class_ is None else f"_class{asked.class_}"
    which = ("" if asked.checkpoint == "last" else f"_{asked.checkpoint}") + ("" if asked.ema else "_not-averaged")
    name = f"{asked.format}{which}{of_class}_seed{asked.seed}_n{asked.n}{endings[asked.format]}"
    out = Path(asked.out) if asked.out else Path(asked.run) / "generated" / name
    ending = endings[asked.format]
    if ending and out.suffix not in ("", ending):
        raise ConfigError(f"out={out} is not possible with format={asked.format}: it should end in {ending}.")
    if asked.format == "interpolation" and asked.n < 2:
        raise ConfigError(
            "n=1 is not possible with format=interpolation, which walks between images: it should be 2 or more."
        )
    points = noise.draw(asked.n, randomness.random_generator("cpu", asked.seed, "sample"))
    labels = sample_labels(generator, asked, device)
    if asked.format == "interpolation":
        points = noise.walk(points, asked.frames)
        labels = None if labels is None else labels.repeat_interleave(asked.frames)
    randomness.reseed(device, asked.seed, "drawing")  # a generator may have noise or dropout of its own
    images = generate(generator, points.to(device), labels, asked.batch_size)
    if asked.format == "png":
        out.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            to_pil_image(image).save(out / f"{number:05d}.png")
        return out
    with files.atomic_write(out) as file:
        if asked.format == "grid":
            image_grid(images, generator.class_count if asked.class_ is None else 0).save(file, format="png")
        elif asked.format == "npz":
            np.savez(file, images=images.permute(0, 2, 3, 1).numpy())
        else:
            write_gif([to_pil_image(image) for image in images], file, asked.fps)
    return out


def sample_labels(generator: nn.Module, asked: Sampling, device: torch.device) -> Tensor | None:
    """Labels int64 (n,): all of the class that was asked for, or each class in turn. Raises ConfigError for one unknown."""
    if asked.class_ is None:
        return cycle_labels(generator.class_count, asked.n, device)
    if not generator.class_count:
        raise ConfigError(f"class={asked.class_} is not possible: this run was trained without trick=[conditional].")
    if asked.class_ >= generator.class_count:
        raise ConfigError(f"class={asked.class_} is not possible: it should be from 0 to {generator.class_count - 1}.")
    return torch.full((asked.n,), asked.class_, device=device)
