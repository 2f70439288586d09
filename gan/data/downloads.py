"""Published datasets: downloaded once by torchvision, and their files checked every time."""

import contextlib
import gzip
import hashlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.system.device import is_memory_error, memory_errors
from gan.system.locks import exclusive

# torchvision takes as long to import as torch: functions import it, so that errors in the settings come sooner.

log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 10.0  # without an answer from a server

# MD5 sums of MNIST's uncompressed files; torchvision has those of the compressed ones only.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def load_mnist(name: Literal["MNIST", "FashionMNIST"], data_dir: Path, split: str) -> tuple[Tensor, Tensor]:
    """One split (train or test) of MNIST or Fashion-MNIST: uint8 (N, 1, 28, 28), and labels (N,).

    Raises ConfigError for a file that is missing or not as published.
    """
    from torchvision import datasets

    published = getattr(datasets, name)
    folder = data_dir / name / "raw"
    with download_errors(name, folder):
        dataset = load_or_download(published, data_dir, split, folder)
        for archive, md5 in published.resources:
            if archive.startswith("train" if split == "train" else "t10k"):
                check_file(folder / archive.removesuffix(".gz"), folder / archive, md5)
    return dataset.data[:, None].contiguous(), dataset.targets


def load_cifar10(data_dir: Path, split: str) -> tuple[Tensor, Tensor]:
    """One split (train or test) of CIFAR-10: uint8 (N, 3, 32, 32), and labels (N,).

    Raises ConfigError for a file that is missing or not as published.
    """
    from torchvision.datasets import CIFAR10

    folder = data_dir / CIFAR10.base_folder
    with download_errors("CIFAR-10", folder):
        dataset = load_or_download(CIFAR10, data_dir, split, folder)
    return torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(dataset.targets)


def load_or_download(published: Any, data_dir: Path, split: str, folder: Path) -> Any:
    """One split of the torchvision dataset class `published`, whose files are in `folder`.

    Where they are not, one process downloads them and the others wait. Raises whatever torchvision raises.
    """
    try:
        return published(data_dir, train=split == "train", download=False)
    except RuntimeError:  # missing or incomplete
        with exclusive(folder):
            log.info("downloading %s into %s", published.__name__, folder)
            return published(data_dir, train=split == "train", download=True)


def check_file(file: Path, archive: Path, archive_md5: str) -> None:
    """Raise ConfigError unless `file` is as published: MNIST's, or the content of an `archive` with that MD5 sum."""
    content = file.read_bytes()
    intact = hashlib.md5(content).hexdigest() == MNIST_MD5.get(file.name)
    if not intact and archive.exists():
        compressed = archive.read_bytes()
        intact = hashlib.md5(compressed).hexdigest() == archive_md5 and gzip.decompress(compressed) == content
    if not intact:
        raise ConfigError(
            f"{file} is not the published file (its MD5 sum differs): delete it and {archive.name} to download them "
            "again, or put the published .gz file there."
        )


@contextlib.contextmanager
def download_errors(name: str, folder: Path) -> Iterator[None]:
    """Raise ConfigError where torchvision can neither find nor download the dataset `name`.

    Raises OSError for a file that is there and cannot be read, and for lack of memory.
    """
    try:
        with network_timeout(), memory_errors():
            yield
    # torchvision raises any of these for a truncated, empty or wrong file, or without a network.
    except (OSError, RuntimeError, ValueError, AssertionError, EOFError, IndexError, TypeError, KeyError) as error:
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        if is_memory_error(error) or (isinstance(error, OSError) and error.errno and error.filename and not is_missing):
            raise
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        raise ConfigError(
            f"{name} is missing or incomplete in {folder} and could not be downloaded ({reason}): connect to a "
            "network, set data_dir to the folder that holds it, or choose dataset=digits, which needs no download."
        ) from error


@contextlib.contextmanager
def network_timeout() -> Iterator[None]:
    """Time out on servers that do not answer: torchvision and torch.hub set no limit of their own."""
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous)
