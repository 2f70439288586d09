"""Data sets, each one uint8 tensor, and batches taken from it by index."""

import contextlib
import hashlib
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import ImageCount, ImageSize, PositiveInt
from gan.data import digits as drawn
from gan.data.downloads import downloaded, downloading, load_idx
from gan.data.image_folder import read as read_images
from gan.data.image_shape import ImageShape
from gan.system import files, randomness

Split = Literal["train", "test"]


@dataclass(frozen=True)
class ImageDataset:
    """`images` uint8 (N, C, H, W) and, where the set has them, `labels` int64 (N,).

    Args:
        classes: how many kinds there are, if that is more than the labels of these images show.
        names: of the classes, where they have any.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: int = 0
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> ImageShape:
        classes = 0 if self.labels is None else max(self.classes, int(self.labels.max()) + 1)
        return ImageShape(self.images.shape[1], self.images.shape[2], classes)

    def __getitem__(self, part: slice | Tensor) -> "ImageDataset":
        """Some of them: a slice, a mask (N,), or their numbers."""
        return replace(self, images=self.images[part], labels=None if self.labels is None else self.labels[part])

    def first(self, limit: int | None) -> "ImageDataset":
        """The first `limit` images, or all of them."""
        return self[:limit]

    def resized(self, size: int | None) -> "ImageDataset":
        """Images of `size` a side, smoothed where they shrink; as they are for None."""
        if size is None or size == self.shape.size:
            return self
        from torchvision.transforms.v2.functional import resize

        parts = [resize(part, [size, size], antialias=True) for part in self.images.split(4096)]
        return replace(self, images=torch.cat(parts))


class Batches:
    """An endless stream of full batches, in an order that only (seed, epoch) decides.

    Each pass shows every image at most once; the few that do not fill a batch sit the pass out. Of each batch
    `share` is taken, where several processes divide it.
    """

    def __init__(
        self, images: ImageDataset, batch_size: int, seed: int, device: torch.device, share: slice = slice(None)
    ) -> None:
        self.batch_size, self.seed, self.device, self.share = batch_size, seed, device, share
        self.images = images.images.to(device) if fits(images.images, device) else images.images
        self.labels = None if images.labels is None else images.labels.to(self.images.device)
        self.per_epoch = len(images) // batch_size
        self.epoch = -1
        self.order = torch.empty(0)

    def __getitem__(self, index: int) -> ImageDataset:
        """Batch number `index` since the beginning, on the training device."""
        epoch, position = divmod(index, self.per_epoch)
        if epoch != self.epoch:
            stream = randomness.random_generator("cpu", self.seed, "order", epoch)
            self.order = torch.randperm(len(self.images), generator=stream).to(self.images.device)
            self.epoch = epoch
        start = position * self.batch_size
        chosen = self.order[start : start + self.batch_size][self.share]
        images = self.images.index_select(0, chosen).to(self.device, non_blocking=True)
        return ImageDataset(
            images, None if self.labels is None else self.labels[chosen].to(self.device, non_blocking=True)
        )


def fits(images: Tensor, device: torch.device) -> bool:
    """Whether a data set may live on `device`: on a GPU it may take half of what is free."""
    return device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] // 2


def scaled(images: Tensor, pixel_range: tuple[float, float]) -> Tensor:
    """uint8 images as floats from the lowest to the highest value that the generator can draw."""
    low, high = pixel_range
    return images.float() * ((high - low) / 255) + low


# The data sets: each takes where to look and which split, and returns ImageDataset.


def digits(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    limit: PositiveInt | None,
    image_size: ImageSize | None,
) -> ImageDataset:
    """Digits drawn here, kept in `cache_dir`: `count` to train on and a fifth as many for testing.

    The drawing has a seed of its own: `seed` changes the run, never the data.
    """
    count = count if split == "train" else max(count // 5, 1)
    source = hashlib.md5(Path(drawn.__file__).read_bytes()).hexdigest()[:8]
    path = cache_dir / f"digits-{split}-{count}-{source}.pt"
    try:
        images, labels = torch.load(path, weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError):  # none yet, or damaged
        images, labels = drawn.draw_digits(count, seed=0, split=split)
        with (
            contextlib.suppress(OSError),
            files.atomic_write(path) as file,
        ):  # a cache that cannot be kept is no loss
            torch.save((images, labels), file)
    return ImageDataset(images, labels).first(limit).resized(image_size)


def mnist(
    data_dir: Path, cache_dir: Path, split: Split, *, limit: PositiveInt | None, image_size: ImageSize | None
) -> ImageDataset:
    """MNIST (LeCun, Cortes and Burges): handwritten digits, 60,000 and 10,000 of 28x28 grey pixels."""
    from torchvision.datasets import MNIST

    return ImageDataset(*load_idx(MNIST, data_dir, split)).first(limit).resized(image_size)


def stacked_mnist(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: ImageCount,
    limit: PositiveInt | None,
    image_size: ImageSize | None,
) -> ImageDataset:
    """Three digits of MNIST as the channels of one image, 1000 kinds (Metz et al. 2017): `count` to train on.

    For testing there are 10,000. Which digits meet has a seed of its own: `seed` changes the run, never the data.
    """
    found = mnist(data_dir, cache_dir, split, limit=None, image_size=image_size)
    stream = randomness.random_generator("cpu", 0, "stacked", split)
    chosen = torch.randint(len(found), (count if split == "train" else 10_000, 3), generator=stream)[:limit]
    images = found.images[:, 0][chosen]
    return ImageDataset(images, found.labels[chosen] @ torch.tensor([100, 10, 1]), classes=1000)


def fashion_mnist(
    data_dir: Path, cache_dir: Path, split: Split, *, limit: PositiveInt | None, image_size: ImageSize | None
) -> ImageDataset:
    """Fashion-MNIST (Xiao et al. 2017): clothes, in MNIST's format."""
    from torchvision.datasets import FashionMNIST

    return ImageDataset(*load_idx(FashionMNIST, data_dir, split)).first(limit).resized(image_size)


def cifar10(
    data_dir: Path, cache_dir: Path, split: Split, *, limit: PositiveInt | None, image_size: ImageSize | None
) -> ImageDataset:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 photographs of 32x32 colour pixels in ten classes."""
    from torchvision.datasets import CIFAR10

    folder = data_dir / CIFAR10.base_folder
    with downloading("CIFAR-10", folder):
        found = downloaded(CIFAR10, data_dir, split, folder)
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return ImageDataset(images, torch.tensor(found.targets)).first(limit).resized(image_size)


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
) -> ImageDataset:
    """Your own images, in a folder or a zip, and others to test on: see `gan.data.image_folder.read`."""
    if split == "test" and test_path is None:
        raise ConfigError(
            "dataset=image_folder has no test images: name their folder or zip with dataset.test_path=..."
        )
    found, setting = (path, "dataset.path") if split == "train" else (test_path, "dataset.test_path")
    if not found:
        raise ConfigError(f"{setting} is empty: it should be a folder or a zip of images.")
    images, labels, names = read_images(Path(found), cache_dir, image_size, channels, limit, setting)
    return ImageDataset(images, labels, len(names), names)
