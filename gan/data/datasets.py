"""Datasets, each one tensor: of images uint8, or of points float32."""

import itertools
import string
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import CropSize, ImageCount, ImageSize, PositiveFloat, PositiveInt
from gan.data.backgrounds import check_background
from gan.data.celeba import load_celeba
from gan.data.decoding import Crop, Fit, Resize
from gan.data.digits import load_digits
from gan.data.image_folder import find_source, has_test_split, inspect_path, read_images
from gan.data.image_shape import DataShape, ImageShape, PixelRange, PointShape
from gan.data.published import load_published, load_stl10_unlabeled
from gan.system.randomness import random_generator

Split = Literal["train", "test"]
DIGITS = tuple(string.digits)
STACKED = tuple("".join(digits) for digits in itertools.product(DIGITS, repeat=3))  # of three channels


class Modes(NamedTuple):
    """The modes of a mixture of normal distributions with equal weights.

    Args:
        centers: float32 (K, d).
        std: standard deviation of each of them, the same in every direction.
    """

    centers: Tensor
    std: float


@dataclass(frozen=True)
class ImageDataset:
    """Images or points, and labels where the dataset has them.

    Args:
        images: images uint8 (N, C, H, W), or points float32 (N, d).
        labels: int64 (N,), from 0.
        class_count: number of classes, where the labels of these images may not show all of them.
        class_names: of all classes, where they have names.
        skipped: files that are not among the images: how many, by what they are, such as `.heic` or `unreadable`.
        missing_classes: why there are no labels, where there almost are, such as a file beside the class folders.
        notes: what was decided from all images, for the user: `channels`, `values`, `split`.
        mirror: whether half of the images of a batch are flipped horizontally.
        source: where the images come from, where `dataset.path` does not say so.
        is_rounded: whether torch drew or resized the images, which it does with other rounding where there is no AVX2.
        modes: of points, where these are a mixture.
    """

    images: Tensor
    labels: Tensor | None = None
    class_count: int = 0
    class_names: tuple[str, ...] = ()
    skipped: dict[str, int] = field(default_factory=dict)
    missing_classes: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    mirror: bool = False
    source: str = ""
    is_rounded: bool = False
    modes: Modes | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> DataShape:
        known = max(self.class_count, len(self.class_names))
        class_count = 0 if self.labels is None else max(known, int(self.labels.max()) + 1)
        class_names = self.class_names if self.labels is not None and len(self.class_names) == class_count else ()
        if self.images.dim() == 2:
            return PointShape(self.images.shape[1], class_count, class_names)
        return ImageShape(self.images.shape[1], self.images.shape[2], class_count, class_names)

    def __getitem__(self, index: slice | Tensor) -> "ImageDataset":
        """A subset: by slice, boolean mask (N,) or indices."""
        return replace(self, images=self.images[index], labels=None if self.labels is None else self.labels[index])

    def resize(self, size: int | None) -> "ImageDataset":
        """Images with a side of `size` pixels, by Pillow's bilinear filter; None leaves them as they are."""
        if size is None or size == self.images.shape[-1]:
            return self
        from torchvision.transforms.v2.functional import resize

        resized = [resize(images, [size, size], antialias=True) for images in self.images.split(4096)]
        return replace(self, images=torch.cat(resized), is_rounded=True)


def scale_images(images: Tensor, pixel_range: PixelRange) -> Tensor:
    """uint8 images as floats in the generator's pixel range, [-1, 1] or [0, 1]; points as they are."""
    if pixel_range is None:
        return images
    low, high = pixel_range
    return images.float() * ((high - low) / 255) + low


# The datasets, one function each, named by `_target_` in conf/dataset. `data_dir` holds downloaded files, `cache_dir`
# what is made from them. `limit` keeps the first images, `image_size` resizes them.


def digits(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    limit: PositiveInt | None,
    image_size: ImageSize | None,
) -> ImageDataset:
    """Digits drawn from fonts: `count` for training and a fifth as many for testing, 28x28, gray.

    They are drawn from a fixed seed: the setting `seed` does not change the data.
    """
    count = count if split == "train" else max(count // 5, 1)
    images, labels = load_digits(count, split, cache_dir)
    drawn = ImageDataset(images, labels, class_names=DIGITS, source="fonts", is_rounded=True)
    return drawn[:limit].resize(image_size)


def stacked_mnist(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    limit: PositiveInt | None,
    image_size: ImageSize | None,
) -> ImageDataset:
    """Stacked MNIST (Metz et al. 2017): three MNIST digits as the channels of one image, 1000 classes.

    `count` images for training and 10,000 for testing. The digits are combined from a fixed seed: the setting `seed`
    does not change the data.
    """
    images, labels = load_published("mnist", data_dir, split)[:2]
    resized = ImageDataset(images).resize(image_size)
    shape = (count if split == "train" else 10_000, 3)
    indices = torch.randint(len(images), shape, generator=random_generator("cpu", 0, "stacked", split))[:limit]
    return ImageDataset(
        resized.images[:, 0][indices],
        labels[indices] @ torch.tensor([100, 10, 1]),
        class_names=STACKED,
        source=str(data_dir),
        is_rounded=resized.is_rounded,
    )


def published(name: str) -> Callable[..., ImageDataset]:
    """The function that loads a dataset of `gan.data.published`."""

    def load(
        data_dir: Path, cache_dir: Path, split: Split, *, limit: PositiveInt | None, image_size: ImageSize | None
    ) -> ImageDataset:
        images, labels, class_names = load_published(name, data_dir, split)
        return ImageDataset(images, labels, class_names=class_names, source=str(data_dir))[:limit].resize(image_size)

    load.__name__ = load.__qualname__ = name
    return load


mnist = published("mnist")  # handwritten digits, 28x28, gray (LeCun, Cortes and Burges)
fashion_mnist = published("fashion_mnist")  # clothes, in MNIST's counts and format (Xiao et al. 2017)
kmnist = published("kmnist")  # cursive Japanese characters, in MNIST's counts and format (Clanuwat et al. 2018)
qmnist = published("qmnist")  # MNIST made again, with 60,000 test images (Yadav and Bottou 2019)
emnist_letters = published("emnist_letters")  # handwritten letters, 28x28, gray (Cohen et al. 2017)
emnist_balanced = published("emnist_balanced")  # handwritten digits and letters, 47 classes (Cohen et al. 2017)
usps = published("usps")  # digits of addresses, 16x16, gray
svhn = published("svhn")  # photographs of house numbers, 32x32, color (Netzer et al. 2011)
cifar10 = published("cifar10")  # photographs in ten classes, 32x32, color
cifar100 = published("cifar100")  # photographs in a hundred classes, 32x32, color


def stl10(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    unlabeled: bool,
    limit: PositiveInt | None,
    image_size: ImageSize | None,
) -> ImageDataset:
    """STL-10 (Coates et al. 2011): photographs in ten classes, 5,000 and 8,000, 96x96, color.

    Args:
        unlabeled: train on its 100,000 images without classes instead.
    """
    if unlabeled and split == "train":
        return ImageDataset(load_stl10_unlabeled(data_dir), source=str(data_dir))[:limit].resize(image_size)
    images, labels, class_names = load_published("stl10", data_dir, split)
    if unlabeled:
        return ImageDataset(images, source=str(data_dir))[:limit].resize(image_size)
    return ImageDataset(images, labels, class_names=class_names, source=str(data_dir))[:limit].resize(image_size)


def celeba(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    crop: CropSize,
    limit: PositiveInt | None,
    image_size: ImageSize,
) -> ImageDataset:
    """CelebA (Liu et al. 2015): aligned photographs of faces, 162,770 and 19,962, color, without classes."""
    return ImageDataset(load_celeba(data_dir, cache_dir, split, image_size, crop, limit), source=str(data_dir))


def image_folder(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    path: str,
    test_path: str | None,
    channels: Literal[1, 3] | None,
    limit: PositiveInt | None,
    image_size: ImageSize | None,
    resize: Resize = "lanczos",
    crop: Crop = "center",
    mirror: bool = False,
    background: str = "white",
    max_value: PositiveFloat | None = None,
) -> ImageDataset:
    """The images of a folder, an archive or an array: see `gan.data.image_folder.read_images`.

    Test images are those of `test_path`, or else of a folder test/ beside train/ in `path`.
    """
    check_background(background)
    setting, source = "dataset.path", path
    if split == "test" and test_path is not None:
        setting, source = "dataset.test_path", test_path
    if not source:
        raise ConfigError(f"{setting} is empty: it should be a folder, an archive or an array of images.")
    fit = Fit(image_size or 0, channels, resize, crop, background, max_value)
    if split == "test":
        if test_path is not None:
            inspect_path(find_source(source), f"{setting}={source}")  # before the training images are decoded
        elif not has_test_split(source, cache_dir, setting):
            raise ConfigError("dataset.test_path=null: there are no test images without it, nor in dataset.path.")
        # Both are made in the same way, which is decided from the training images: gray ones get channels, too.
        train = read_images(find_source(path), cache_dir, fit)
        fit = replace(fit, channels=3 if train.images.shape[1] == 3 else channels, scales=train.scales)
    found = read_images(find_source(source), cache_dir, fit, limit, split, setting)
    return ImageDataset(
        found.images,
        found.labels,
        len(found.class_names),
        found.class_names,
        found.skipped,
        missing_classes=found.missing,
        notes=found.notes,
        mirror=mirror and split == "train",
    )
