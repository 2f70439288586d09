"""A grid over the codes of trick=infogan: what each of them changes in the images."""

import math
from pathlib import Path

import torch
from torch import Tensor

from gan import sampling
from gan.config.errors import ConfigError
from gan.config.schema import Sampling
from gan.models.base import Generator
from gan.system import files, randomness

LARGEST = 2.0  # value of a continuous code in a grid, as in figure 2 of Chen et al. 2016


def rows(count: int) -> int:
    """Rows for each code in a grid for which `count` images were asked for."""
    return max(math.ceil(math.sqrt(count)), 2)


def vary_codes(noise: Tensor, codes: tuple[int, int] | None) -> tuple[Tensor, int]:
    """Noise for a grid over the codes, and its number of columns.

    Each column has a category. The first rows have the `noise` (n, noise_dim); then come, for each continuous code, n
    rows in which it goes from -2 to 2 and all else is that of the first row. Without a categorical code, a continuous
    one goes over n columns instead, and each row has its noise.

    Args:
        codes: categories of the categorical code, and number of continuous codes; None: there are none.

    Raises ConfigError where there are none.
    """
    if codes is None:
        raise ConfigError("format=codes: this run has no codes; trick=[infogan] has them.")
    (categories, continuous), count = codes, len(noise)
    steps, blocks = torch.linspace(-LARGEST, LARGEST, count), []
    if categories:
        noise = noise.repeat_interleave(categories, 0)
        greatest = 2 * noise.abs().max() * torch.eye(categories)  # so that each is the category of its column
        noise[:, :categories] = greatest.repeat(count, 1)
        blocks.append(noise)
    columns = categories or count
    for code in range(categories, categories + continuous):
        block = noise[:columns].repeat(count, 1) if categories else noise.repeat_interleave(count, 0)
        block[:, code] = steps.repeat_interleave(columns) if categories else steps.repeat(count)
        blocks.append(block)
    return torch.cat(blocks), columns


def write(generator: Generator, noise: Tensor, columns: int, request: Sampling, out: Path) -> None:
    """Write the grid of the images for `noise` (n, noise_dim); in a conditional run, those of `class` or of class 0."""
    labels = torch.full((len(noise),), int(request.class_ or 0), device=noise.device) if generator.class_count else None
    randomness.reseed(noise.device, request.seed, "drawing")  # a generator may have noise or dropout of its own
    images = sampling.generate(generator, noise, labels, request.batch_size)
    with files.atomic_write(out) as file:
        sampling.image_grid(images, columns).save(file, format="png")
