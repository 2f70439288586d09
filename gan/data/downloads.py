"""Published data sets in MNIST's format and others: downloaded once, and checked every time."""

import contextlib
import gzip
import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gan.config.errors import ConfigError
from gan.system import files

# torchvision is imported where it is used: it takes as long as torch itself, and a mistake is said sooner.
if TYPE_CHECKING:
    import torchvision

SILENCE_SECONDS = 10.0  # a server that says nothing for so long is given up

# The uncompressed files of MNIST; torchvision knows the sums of the compressed ones alone.
UNPACKED_MD5 = {
    "6bbc9ace898e44ae57da46a324031adb": "train-images-idx3-ubyte of MNIST",
    "a25bea736e30d166cdddb491f175f624": "train-labels-idx1-ubyte of MNIST",
    "2646ac647ad5339dbf082846283269ea": "t10k-images-idx3-ubyte of MNIST",
    "27ae3e4e09519cfbb04c329615203637": "t10k-labels-idx1-ubyte of MNIST",
}


def load_idx(published: "type[torchvision.datasets.MNIST]", data_dir: Path, split: str) -> tuple[Tensor, Tensor]:
    """One split (train or test) of a set in MNIST's format: uint8 (N, 1, 28, 28), and labels (N,).

    Raises ConfigError for a file that is absent or not as published.
    """
    folder = data_dir / published.__name__ / "raw"
    with downloading(published.__name__, folder):
        found = downloaded(published, data_dir, split, folder)
        for name, packed_md5 in published.resources:
            if name.startswith("train" if split == "train" else "t10k"):
                check_idx(folder / name.removesuffix(".gz"), folder / name, packed_md5)
    return found.data[:, None].contiguous(), found.targets


def downloaded(published: Callable[..., Any], data_dir: Path, split: str, folder: Path) -> Any:
    """One split of torchvision's data set `published`, from `folder`, or downloaded by one process for all.

    Raises whatever torchvision raises.
    """
    try:
        return published(data_dir, train=split == "train", download=False)
    except RuntimeError:  # it is not there, or not whole
        with files.exclusive(folder):
            return published(data_dir, train=split == "train", download=True)


def check_idx(unpacked: Path, packed: Path, packed_md5: str) -> None:
    """Raise ConfigError unless the idx file holds what its publisher put there."""
    content = unpacked.read_bytes()
    known = hashlib.md5(content).hexdigest() in UNPACKED_MD5
    if not known and packed.exists():
        archive = packed.read_bytes()
        known = hashlib.md5(archive).hexdigest() == packed_md5 and gzip.decompress(archive) == content
    if not known:
        raise ConfigError(
            f"{unpacked} is not the file that was published (its MD5 sum differs): delete it and {packed.name}, "
            "and run again with a network, or put the published .gz file there."
        )


@contextlib.contextmanager
def downloading(name: str, folder: Path) -> Iterator[None]:
    """Let torchvision look for a data set and download it, and say in a sentence where that failed."""
    try:
        with network_timeout():
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
        raise ConfigError(
            f"{name} is not whole in {folder} and could not be downloaded ({reason}): connect to a network, "
            "put its files there or name their folder with data_dir=..., or take dataset=digits, which needs none."
        ) from error


@contextlib.contextmanager
def network_timeout() -> Iterator[None]:
    """While this lasts, a server that says nothing is given up. Libraries set no limit, and would hang for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
