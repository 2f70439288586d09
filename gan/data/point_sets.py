"""Datasets of points with one or two numbers, on which one sees what a GAN does, and points of one's own.

Each is named by `_target_` in conf/dataset, and depends on its `seed` and the split: the setting `seed` of a run does
not change the data. There are `count` points for training and a fifth as many for testing. `limit` keeps the first.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import ImageCount, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from gan.data.datasets import ImageDataset, Modes, Split
from gan.data.point_files import read_points
from gan.system.randomness import random_generator


def split_count(count: int, split: Split) -> int:
    """The number of points of a split, where there are `count` for training."""
    return count if split == "train" else max(count // 5, 1)


def draw_mixture(name: str, modes: Modes, count: int, split: Split, seed: int) -> ImageDataset:
    """Points of a mixture of normal distributions, whose classes are the modes where there are several."""
    generator = random_generator("cpu", seed, name, split)
    size, (classes, dim) = split_count(count, split), modes.centers.shape
    labels = torch.randint(classes, (size,), generator=generator)
    points = modes.centers[labels] + modes.std * torch.randn(size, dim, generator=generator)
    return ImageDataset(points, labels if classes > 1 else None, classes, is_rounded=True, modes=modes)


def ring8(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    radius: PositiveFloat,
    std: PositiveFloat,
    seed: NonNegativeInt,
    limit: PositiveInt | None,
) -> ImageDataset:
    """Eight normal distributions on a circle (Metz et al. 2017, section 3.1)."""
    angles = 2 * math.pi * torch.arange(8) / 8
    modes = Modes(radius * torch.stack([angles.cos(), angles.sin()], dim=1), std)
    return draw_mixture("ring8", modes, count, split, seed)[:limit]


def grid25(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    spacing: PositiveFloat,
    std: PositiveFloat,
    seed: NonNegativeInt,
    limit: PositiveInt | None,
) -> ImageDataset:
    """25 normal distributions on a square grid around the origin (Srivastava et al. 2017, section 5.1)."""
    steps = spacing * torch.arange(-2.0, 3.0)
    return draw_mixture("grid25", Modes(torch.cartesian_prod(steps, steps), std), count, split, seed)[:limit]


def gaussian1d(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    mean: float,
    std: PositiveFloat,
    seed: NonNegativeInt,
    limit: PositiveInt | None,
) -> ImageDataset:
    """One normal distribution of numbers, as in figure 1 of Goodfellow et al. 2014."""
    return draw_mixture("gaussian1d", Modes(torch.tensor([[mean]]), std), count, split, seed)[:limit]


def dirac(
    data_dir: Path, cache_dir: Path, split: Split, *, count: ImageCount, limit: PositiveInt | None
) -> ImageDataset:
    """The number 0, again and again: the data of the Dirac-GAN (Mescheder et al. 2018, definition 2.1)."""
    return ImageDataset(torch.zeros(split_count(count, split), 1))[:limit]


def spiral(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    arms: PositiveInt,
    turns: PositiveFloat,
    radius: PositiveFloat,
    std: NonNegativeFloat,
    seed: NonNegativeInt,
    limit: PositiveInt | None,
) -> ImageDataset:
    """Arms that wind around the origin, with normal noise; uniform in length. The classes are the arms."""
    generator, size = random_generator("cpu", seed, "spiral", split), split_count(count, split)
    arm = torch.randint(arms, (size,), generator=generator)
    fraction = torch.rand(size, generator=generator).sqrt()  # of the radius: the length grows with its square
    points = on_circle(2 * math.pi * (arm / arms + turns * fraction), radius * fraction)
    noisy = points + std * torch.randn(size, 2, generator=generator)
    return ImageDataset(noisy, arm if arms > 1 else None, arms, is_rounded=True)[:limit]


def two_moons(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    std: NonNegativeFloat,
    seed: NonNegativeInt,
    limit: PositiveInt | None,
) -> ImageDataset:
    """Two half circles of radius 1 that reach into each other, with normal noise, as scikit-learn makes them."""
    generator, size = random_generator("cpu", seed, "two_moons", split), split_count(count, split)
    moon = torch.randint(2, (size,), generator=generator)
    upper = on_circle(math.pi * torch.rand(size, generator=generator))
    points = torch.where(moon[:, None] == 0, upper, torch.tensor([1.0, 0.5]) - upper)
    noisy = points + std * torch.randn(size, 2, generator=generator)
    return ImageDataset(noisy, moon, 2, is_rounded=True)[:limit]


def checkerboard(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    seed: NonNegativeInt,
    limit: PositiveInt | None,
) -> ImageDataset:
    """Uniform on the eight squares of one color of a board of 4 by 4, from -2 to 2. The classes are the squares."""
    generator, size = random_generator("cpu", seed, "checkerboard", split), split_count(count, split)
    square = torch.randint(8, (size,), generator=generator)
    row = square // 2
    corner = torch.stack([2 * (square % 2) + row % 2, row], dim=1) - 2
    points = corner + torch.rand(size, 2, generator=generator)
    return ImageDataset(points, square, 8, is_rounded=True)[:limit]


def points(
    data_dir: Path, cache_dir: Path, split: Split, *, path: str, test_path: str | None, limit: PositiveInt | None
) -> ImageDataset:
    """The points in a file .csv or .npy, of one, two or three numbers each. Test points are those of `test_path`."""
    if split == "test" and test_path is None:
        raise ConfigError("dataset.test_path=null: there are no test points without it.")
    setting, text = (
        ("dataset.path", path) if split == "train" or test_path is None else ("dataset.test_path", test_path)
    )
    if not text:
        raise ConfigError(f"{setting} is empty: it should be a file .csv or .npy of points.")
    return ImageDataset(read_points(text, setting))[:limit]


def on_circle(angles: Tensor, radius: Tensor | float = 1.0) -> Tensor:
    """Points (n, 2) at `angles` (n,) on circles around the origin."""
    return torch.stack([radius * angles.cos(), radius * angles.sin()], dim=1)
