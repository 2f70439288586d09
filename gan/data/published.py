"""Published datasets: which files they have, by torchvision's sums and addresses, and how these are read."""

import bz2
import gzip
import math
import pickle
import string
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan.data.downloads import MNIST_MD5, PublishedFile, find_files
from gan.system.device import memory_errors

Arrays = tuple[np.ndarray, np.ndarray, tuple[str, ...]]  # images, labels, and names of the classes
IDX_TYPES: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 12: np.dtype(">i4")}  # by number in MNIST's format


@dataclass(frozen=True)
class Published:
    """A published dataset.

    Args:
        title: for people.
        source: torchvision's class for it, which has the addresses and MD5 sums of the files.
        read: returns images uint8 (N, C, H, W), labels (N,) from 0, and the names of the classes if the files have
            them; its arguments are this object, the torchvision class, data_dir and the split.
        class_names: those that are not in the files.
        part: of EMNIST.
    """

    title: str
    source: str
    read: Callable[["Published", Any, Path, str], Arrays]
    class_names: tuple[str, ...] = ()
    part: str = ""


def load_published(name: str, data_dir: Path, split: str) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """One split, train or test, of a dataset in TABLE: uint8 (N, C, H, W), labels int64 (N,), class names.

    Raises ConfigError for a file that is missing or not as published.
    """
    from torchvision import datasets

    published = TABLE[name]
    with memory_errors():
        images, labels, class_names = published.read(published, getattr(datasets, published.source), data_dir, split)
        tensor = torch.from_numpy(np.ascontiguousarray(images))
    return tensor, torch.from_numpy(labels.astype(np.int64)), class_names or published.class_names


# Readers. All files are checked before they are read; only then are CIFAR's pickles safe.


def read_mnist(published: Published, source: Any, data_dir: Path, split: str) -> Arrays:
    """MNIST and the datasets that have its files' names."""
    files = [
        PublishedFile(
            path=f"{source.__name__}/raw/{name}",
            md5=md5,
            urls=tuple(f"{mirror}{name}" for mirror in source.mirrors),
            unpacked_md5=MNIST_MD5.get(name.removesuffix(".gz"), "") if source.__name__ == "MNIST" else "",
        )
        for name, md5 in source.resources
        if name.startswith("train" if split == "train" else "t10k")
    ]
    images, labels = (parse_idx(read_idx(path)) for path in find_files(published.title, files, data_dir))
    return images[:, None], labels, ()


def read_qmnist(published: Published, source: Any, data_dir: Path, split: str) -> Arrays:
    """QMNIST, whose labels have the class in the first of eight columns."""
    files = [PublishedFile(f"QMNIST/raw/{Path(url).name}", md5, (url,)) for url, md5 in source.resources[split]]
    images, labels = (parse_idx(read_idx(path)) for path in find_files(published.title, files, data_dir))
    return images[:, None], labels[:, 0], ()


def read_emnist(published: Published, source: Any, data_dir: Path, split: str) -> Arrays:
    """A part of EMNIST, whose images are turned upright: the files have rows and columns exchanged."""
    (path,) = find_files(published.title, [PublishedFile("EMNIST/raw/gzip.zip", source.md5, (source.url,))], data_dir)
    with zipfile.ZipFile(path) as archive:
        images, labels = (
            parse_idx(gzip.decompress(archive.read(f"gzip/emnist-{published.part}-{split}-{kind}-ubyte.gz")))
            for kind in ("images-idx3", "labels-idx1")
        )
    return images.transpose(0, 2, 1)[:, None], labels - (published.part == "letters"), ()  # letters count from 1


def read_usps(published: Published, source: Any, data_dir: Path, split: str) -> Arrays:
    """USPS: a line of text for each image, the class from 1 and 256 values from -1 to 1."""
    url, name, md5 = source.split_list[split]
    (path,) = find_files(published.title, [PublishedFile(name, md5, (url,))], data_dir)
    rows = [line.split() for line in bz2.decompress(path.read_bytes()).decode().splitlines()]
    values = np.array([[value.partition(":")[2] for value in row[1:]] for row in rows], np.float32)
    images = ((values + 1) / 2 * 255).astype(np.uint8).reshape(-1, 1, 16, 16)
    return images, np.array([int(row[0]) - 1 for row in rows]), ()


def read_svhn(published: Published, source: Any, data_dir: Path, split: str) -> Arrays:
    """Street View House Numbers, cropped to digits; the digit 0 has the label 10 in the files."""
    from scipy.io import loadmat  # only here, as it takes long to import

    url, name, md5 = source.split_list[split]
    (path,) = find_files(published.title, [PublishedFile(name, md5, (url,))], data_dir)
    content = loadmat(path)
    return content["X"].transpose(3, 2, 0, 1), content["y"].ravel() % 10, ()


def read_cifar(published: Published, source: Any, data_dir: Path, split: str) -> Arrays:
    """CIFAR-10, and CIFAR-100 with its 100 classes."""
    archive = PublishedFile(source.filename, source.tgz_md5, (source.url,))
    parts = [*(source.train_list if split == "train" else source.test_list)]
    parts.append((source.meta["filename"], source.meta["md5"]))
    files = [PublishedFile(f"{source.base_folder}/{name}", md5, archive=archive) for name, md5 in parts]
    *batches, meta = (
        pickle.load(BytesIO(path.read_bytes()), encoding="latin1")
        for path in find_files(published.title, files, data_dir)
    )
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch.get("labels", batch.get("fine_labels")) for batch in batches])
    return images, labels, tuple(meta[source.meta["key"]])


def read_stl10(published: Published, source: Any, data_dir: Path, split: str) -> Arrays:
    """STL-10's images with classes: see `load_stl10_unlabeled` for the others."""
    wanted = [(name, md5) for name, md5 in [*source.train_list, *source.test_list] if name.startswith(f"{split}_")]
    images, labels = find_files(published.title, stl10_files(source, wanted), data_dir)
    return stl10_images(images), np.fromfile(labels, np.uint8) - 1, ()


def load_stl10_unlabeled(data_dir: Path) -> Tensor:
    """STL-10's 100,000 images without classes, uint8 (N, 3, 96, 96), memory-mapped: they have 2.8 GB."""
    from torchvision.datasets import STL10

    wanted = [(name, md5) for name, md5 in STL10.train_list if name.startswith("unlabeled_")]
    (path,) = find_files(TABLE["stl10"].title, stl10_files(STL10, wanted), data_dir)
    return torch.from_numpy(stl10_images(path))


def stl10_files(source: Any, wanted: list[tuple[str, str]]) -> list[PublishedFile]:
    archive = PublishedFile(source.filename, source.tgz_md5, (source.url,))
    return [PublishedFile(f"{source.base_folder}/{name}", md5, archive=archive) for name, md5 in wanted]


def stl10_images(path: Path) -> np.ndarray:
    """Images in STL-10's format, which has each channel by columns."""
    return np.memmap(path, np.uint8, "c").reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)


def read_idx(path: Path) -> bytes:
    """The content of a file of MNIST's format, packed or not."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def parse_idx(content: bytes) -> np.ndarray:
    """The array in a file of MNIST's format: its type and number of axes, their lengths, and the values."""
    kind, axes = content[2:4]
    shape = struct.unpack_from(f">{axes}I", content, 4)
    return np.frombuffer(bytearray(content), IDX_TYPES[kind], math.prod(shape), 4 + 4 * axes).reshape(shape)


DIGITS = tuple(string.digits)
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
BALANCED = (*string.digits, *string.ascii_uppercase, *"abdefghnqrt")  # the others look like their capitals
STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")

TABLE = {
    "mnist": Published("MNIST", "MNIST", read_mnist, DIGITS),
    "fashion_mnist": Published("Fashion-MNIST", "FashionMNIST", read_mnist, CLOTHES),
    "kmnist": Published("KMNIST", "KMNIST", read_mnist, KANA),
    "qmnist": Published("QMNIST", "QMNIST", read_qmnist, DIGITS),
    "emnist_letters": Published("EMNIST", "EMNIST", read_emnist, tuple(string.ascii_lowercase), "letters"),
    "emnist_balanced": Published("EMNIST", "EMNIST", read_emnist, BALANCED, "balanced"),
    "usps": Published("USPS", "USPS", read_usps, DIGITS),
    "svhn": Published("SVHN", "SVHN", read_svhn, DIGITS),
    "cifar10": Published("CIFAR-10", "CIFAR10", read_cifar),
    "cifar100": Published("CIFAR-100", "CIFAR100", read_cifar),
    "stl10": Published("STL-10", "STL10", read_stl10, STL10),
}
