"""A path through the noise of several images, as a GIF or a grid."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from gan import sampling
from gan.config.errors import ConfigError
from gan.config.schema import Sampling
from gan.data.image_shape import ImageShape
from gan.models.base import Generator
from gan.noise import Noise
from gan.system import randomness
from gan.system.images import MAX_PIXELS

MAX_FRAMES = 20_000  # Pillow keeps all frames of a GIF in memory


def check_interpolation(out: Path, image: ImageShape, request: Sampling) -> None:
    """Raise ConfigError for less than two images, and for more than fit into the file."""
    if request.n < 2:
        raise ConfigError(f"n={request.n}: must be >= 2 for format={request.format}.")
    pixels = image.size**2
    frames = min(MAX_FRAMES, sampling.MAX_GIF_PIXELS // pixels)
    if out.suffix.lower() == ".png":
        frames = MAX_PIXELS // (image.size + 1) ** 2
    if request.n * request.frames > frames:
        raise ConfigError(
            f"n={request.n}: must be <= {frames // request.frames} for format={request.format} with "
            f"frames={request.frames} and images of {image.size}x{image.size}."
        )


def interpolate(
    generator: Generator, noise: Noise, ends: Tensor, labels: Tensor | None, request: Sampling, device: torch.device
) -> Iterator[Tensor]:
    """Images uint8 on a closed path through those of the noise `ends` (n, noise_dim), in batches (B, C, H, W).

    Classes blend as the noise does, and so do clusters: on its own, the noise on the way would belong to many others.

    Args:
        labels: classes or clusters (n,) of `ends`.
    """
    points = noise.interpolate(ends.cpu(), request.frames)
    if labels is not None:
        generator, labels = blend_classes(generator, labels, request.frames)
    randomness.reseed(device, request.seed, "drawing")
    for start in range(0, len(points), request.batch_size):
        part = slice(start, start + request.batch_size)
        batch_labels = None if labels is None else labels[part]
        yield sampling.generate(generator, points[part].to(device), batch_labels, request.batch_size)


def blend_classes(generator: Generator, labels: Tensor, frames: int) -> tuple[Generator, Tensor]:
    """A copy of a conditional generator with a class for each frame, and the labels of these classes.

    Their embeddings lie on straight lines from each of `labels` to the next, and from the last to the first.
    """
    generator = copy.deepcopy(generator)
    assert generator.label_embedding is not None
    ends = generator.label_embedding.weight.detach()[labels]
    fractions = torch.linspace(0, 1, frames + 1, device=ends.device)[:-1].view(1, -1, 1)
    path = torch.lerp(ends[:, None], ends.roll(-1, dims=0)[:, None], fractions).flatten(0, 1)
    generator.label_embedding = torch.nn.Embedding.from_pretrained(path)
    return generator, torch.arange(len(path), device=ends.device)


def write_interpolation(batches: Iterator[Tensor], request: Sampling, file: BinaryIO) -> None:
    """A GIF, or a PNG with a row for each of the `n` images, from which the next row's image is reached."""
    if str(request.out).lower().endswith(".png"):
        sampling.image_grid(torch.cat(list(batches)), request.frames).save(file, format="png")
    else:
        sampling.write_gif((sampling.to_image(image) for batch in batches for image in batch), file, request.fps)
