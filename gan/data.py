"""Data sets, each one uint8 tensor, and batches taken from it by index."""

import contextlib
import gzip
import hashlib
import pickle
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from gan import digits as drawn
from gan import files, image_folder, randomness
from gan.errors import Refused
from gan.ranges import PositiveInt, Size
from gan.shape import ImageShape

# torchvision is imported where it is used: it takes as long as torch itself, and a mistake is said sooner.
if TYPE_CHECKING:
    import torchvision

Split = Literal["train", "test"]
SILENCE_SECONDS = 10.0  # a server that says nothing for so long is given up


@dataclass(frozen=True)
class Pictures:
    """`images` uint8 (N, C, H, W) and, where the set has them, `labels` int64 (N,)."""

    images: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> ImageShape:
        classes = 0 if self.labels is None else int(self.labels.max()) + 1
        return ImageShape(self.images.shape[1], self.images.shape[2], classes)

    def first(self, limit: int | None) -> "Pictures":
        """The first `limit` pictures, or all of them."""
        labels = None if self.labels is None else self.labels[:limit]
        return Pictures(self.images[:limit], labels)

    def resized(self, size: int | None) -> "Pictures":
        """Pictures of `size` a side, smoothed where they shrink; as they are for None."""
        if size is None or size == self.shape.size:
            return self
        from torchvision.transforms.v2.functional import resize

        parts = [resize(part, [size, size], antialias=True) for part in self.images.split(4096)]
        return replace(self, images=torch.cat(parts))


class Batches:
    """An endless stream of full batches, in an order that only (seed, epoch) decides.

    Each pass shows every picture at most once; the few that do not fill a batch sit the pass out.
    """

    def __init__(self, pictures: Pictures, batch_size: int, seed: int, device: torch.device) -> None:
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self.images = pictures.images.to(device) if fits(pictures.images, device) else pictures.images
        self.labels = None if pictures.labels is None else pictures.labels.to(self.images.device)
        self.per_epoch = len(pictures) // batch_size
        self.epoch = -1
        self.order = torch.empty(0)

    def __getitem__(self, index: int) -> Pictures:
        """Batch number `index` since the beginning, on the training device."""
        epoch, position = divmod(index, self.per_epoch)
        if epoch != self.epoch:
            stream = randomness.generator("cpu", self.seed, "order", epoch)
            self.order = torch.randperm(len(self.images), generator=stream).to(self.images.device)
            self.epoch = epoch
        start = position * self.batch_size
        chosen = self.order[start : start + self.batch_size]
        images = self.images.index_select(0, chosen).to(self.device, non_blocking=True)
        return Pictures(images, None if self.labels is None else self.labels[chosen].to(self.device))


def fits(images: Tensor, device: torch.device) -> bool:
    """Whether a data set may live on `device`: on a GPU it may take half of what is free."""
    return device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] // 2


def scaled(images: Tensor, pixel_range: tuple[float, float]) -> Tensor:
    """uint8 pictures as floats from the lowest to the highest value that the generator can draw."""
    low, high = pixel_range
    return images.float() * ((high - low) / 255) + low


# The data sets: each takes where to look and which split, and returns Pictures.


def digits(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    count: PositiveInt,
    limit: PositiveInt | None,
    image_size: Size | None,
) -> Pictures:
    """Digits drawn here, kept in `cache_dir`: `count` to train on and a fifth as many for testing.

    The drawing has a seed of its own: `seed` changes the run, never the data.
    """
    count = count if split == "train" else max(count // 5, 1)
    source = hashlib.md5(Path(drawn.__file__).read_bytes()).hexdigest()[:8]
    path = cache_dir / f"digits-{split}-{count}-{source}.pt"
    try:
        images, labels = torch.load(path, weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError):  # none yet, or damaged
        images, labels = drawn.draw(count, seed=0, split=split)
        with (
            contextlib.suppress(OSError),
            files.whole(path) as file,
        ):  # a cache that cannot be kept is no loss
            torch.save((images, labels), file)
    return Pictures(images, labels).first(limit).resized(image_size)


def mnist(
    data_dir: Path, cache_dir: Path, split: Split, *, limit: PositiveInt | None, image_size: Size | None
) -> Pictures:
    """MNIST (LeCun, Cortes and Burges): handwritten digits, 60,000 and 10,000 of 28x28 grey pixels."""
    from torchvision.datasets import MNIST

    return idx_pictures(MNIST, data_dir, split).first(limit).resized(image_size)


def fashion_mnist(
    data_dir: Path, cache_dir: Path, split: Split, *, limit: PositiveInt | None, image_size: Size | None
) -> Pictures:
    """Fashion-MNIST (Xiao et al. 2017): clothes, in MNIST's format."""
    from torchvision.datasets import FashionMNIST

    return idx_pictures(FashionMNIST, data_dir, split).first(limit).resized(image_size)


def cifar10(
    data_dir: Path, cache_dir: Path, split: Split, *, limit: PositiveInt | None, image_size: Size | None
) -> Pictures:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 photographs of 32x32 colour pixels in ten classes."""
    from torchvision.datasets import CIFAR10

    with downloading("CIFAR-10", data_dir / CIFAR10.base_folder):
        found = CIFAR10(data_dir, train=split == "train", download=True)
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return Pictures(images, torch.tensor(found.targets)).first(limit).resized(image_size)


def pictures_in(
    data_dir: Path,
    cache_dir: Path,
    split: Split,
    *,
    path: str,
    channels: Literal[1, 3] | None,
    limit: PositiveInt | None,
    image_size: Size | None,
) -> Pictures:
    """Your own pictures, in a folder or a zip: see `gan.image_folder.read`. There is no test split."""
    if split == "test":
        raise Refused("dataset=image_folder has no test pictures: it is one folder or zip.")
    images, labels = image_folder.read(Path(path), cache_dir, image_size, channels, limit)
    return Pictures(images, labels)


# What the published sets have in common: they are downloaded once, and checked every time.

# The uncompressed files of MNIST; torchvision knows the sums of the compressed ones alone.
UNPACKED_MD5 = {
    "6bbc9ace898e44ae57da46a324031adb": "train-images-idx3-ubyte of MNIST",
    "a25bea736e30d166cdddb491f175f624": "train-labels-idx1-ubyte of MNIST",
    "2646ac647ad5339dbf082846283269ea": "t10k-images-idx3-ubyte of MNIST",
    "27ae3e4e09519cfbb04c329615203637": "t10k-labels-idx1-ubyte of MNIST",
}


def idx_pictures(published: "type[torchvision.datasets.MNIST]", data_dir: Path, split: Split) -> Pictures:
    """One split of a set in MNIST's format. Raises Refused for a file that is absent or not as published."""
    folder = data_dir / published.__name__ / "raw"
    with downloading(published.__name__, folder):
        found = published(data_dir, train=split == "train", download=True)
        for name, packed_md5 in published.resources:
            if name.startswith("train" if split == "train" else "t10k"):
                check_idx(folder / name.removesuffix(".gz"), folder / name, packed_md5)
    return Pictures(found.data[:, None].contiguous(), found.targets)


def check_idx(unpacked: Path, packed: Path, packed_md5: str) -> None:
    """Raise Refused unless the idx file holds what its publisher put there."""
    content = unpacked.read_bytes()
    known = hashlib.md5(content).hexdigest() in UNPACKED_MD5
    if not known and packed.exists():
        archive = packed.read_bytes()
        known = hashlib.md5(archive).hexdigest() == packed_md5 and gzip.decompress(archive) == content
    if not known:
        raise Refused(
            f"{unpacked} is not the file that was published (its MD5 sum differs): delete it and {packed.name}, "
            "and run again with a network, or put the published .gz file there."
        )


@contextlib.contextmanager
def downloading(name: str, folder: Path) -> Iterator[None]:
    """Let torchvision look for a data set and download it, and say in a sentence where that failed."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)  # torchvision sets none, and a silent server hangs for ever
    try:
        yield
    # A truncated, empty or wrong file makes torchvision raise any of these; so does a missing network.
    except (
        OSError,
        RuntimeError,
        ValueError,
        AssertionError,
        EOFError,
        IndexError,
        TypeError,
        KeyError,
    ) as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        raise Refused(
            f"{name} is not whole in {folder} and could not be downloaded ({reason}): connect to a network, "
            "put its files there or name their folder with data_dir=..., or take dataset=digits, which needs none."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
