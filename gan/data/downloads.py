"""Files of published datasets: found or downloaded, and checked against their published sums every time."""

import bz2
import contextlib
import errno
import gzip
import hashlib
import http.client
import logging
import math
import socket
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan.config.errors import ConfigError
from gan.system.device import is_memory_error
from gan.system.locks import exclusive

# torchvision takes as long to import as torch: functions import it, so that errors in the settings come sooner.

log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 10.0  # without an answer from a server
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # which have no file name, and are not the network's fault

# MD5 sums of MNIST's unpacked files; torchvision has those of the packed ones only.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@dataclass(frozen=True)
class PublishedFile:
    """A file of a published dataset.

    Args:
        path: below data_dir, where torchvision has it too.
        md5: its sum.
        urls: where it is downloaded from; none: by hand, or from `archive`.
        archive: the .tar.gz file that it is unpacked from.
        unpacked_md5: of a .gz file, the sum of what is in it, if that is known.
    """

    path: str
    md5: str
    urls: tuple[str, ...] = ()
    archive: "PublishedFile | None" = None
    unpacked_md5: str = ""

    @property
    def name(self) -> str:
        return Path(self.path).name


def find_files(title: str, wanted: Sequence[PublishedFile], data_dir: Path, page: str = "") -> list[Path]:
    """Where the files of a dataset are, each as published. Those that are missing are downloaded, by one process.

    Raises ConfigError for a file that is missing or not as published, and OSError for one that cannot be read.

    Args:
        title: of the dataset, for error messages.
        page: where people download what no program can.
    """
    found = [find_file(file, data_dir) for file in wanted]
    missing = [file for file, path in zip(wanted, found, strict=True) if path is None]
    if by_hand := [file for file in missing if not (file.urls or file.archive)]:
        raise ConfigError(
            f"{title} has to be downloaded by hand: put {names_of(by_hand)} from {page} into "
            f"{(data_dir / by_hand[0].path).parent}, or choose dataset=digits, which needs no download."
        )
    with download_errors(title, missing, data_dir):
        return [path or provide_file(file, data_dir) for file, path in zip(wanted, found, strict=True)]


def names_of(files: Iterable[PublishedFile]) -> str:
    return " and ".join(dict.fromkeys(file.name for file in files))


def find_file(file: PublishedFile, data_dir: Path) -> Path | None:
    """Where a file is, packed or unpacked; None where it is missing. Raises ConfigError for one that is another."""
    path = data_dir / file.path
    unpacked = [(path.with_suffix(""), file.unpacked_md5)] if path.suffix == ".gz" else []
    wrong = []
    for candidate, md5 in [*unpacked, (path, file.md5)]:
        if candidate.exists():
            actual = md5_of(candidate)
            if actual == md5:
                return candidate
            wrong.append((candidate, describe_difference(candidate, actual, md5)))
    if not wrong:
        return None
    reason = "; ".join(f"{candidate} {difference}" for candidate, difference in wrong)
    them, one = ("them", "the published files") if len(wrong) > 1 else ("it", "the published file")
    raise ConfigError(f"{reason}: delete {them} to download {them} again, or put {one} {file.name} there.")


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def describe_difference(path: Path, actual: str, published: str) -> str:
    """What is wrong with a file whose MD5 sum is not the published one; no published one is known of some."""
    if is_cut(path):
        return "is damaged: its end is missing"
    if actual in known_sums():
        return f"is {known_sums()[actual]}"
    if not published:
        return "cannot be checked, as only the sum of the .gz file is published"
    return f"is damaged or another file: its MD5 sum is {actual}, the published one {published}"


def is_cut(path: Path) -> bool:
    """Whether the format of a file shows that its end is missing."""
    try:
        if path.stat().st_size == 0:
            return True
        if path.suffix in (".gz", ".bz2"):
            with (gzip.open if path.suffix == ".gz" else bz2.open)(path) as file:
                while file.read(2**20):
                    pass
        if path.suffix == ".zip":
            return not zipfile.is_zipfile(path)  # its table of contents is at the end
        if path.name.endswith("-ubyte"):
            with path.open("rb") as file:
                axes = file.read(4)[3]
                shape = struct.unpack(f">{axes}I", file.read(4 * axes))
            return path.stat().st_size < 4 + 4 * axes + math.prod(shape)
    except EOFError:
        return True
    except (OSError, zlib.error, struct.error, IndexError):  # something else
        return False
    return False


def known_sums() -> dict[str, str]:
    """The files of MNIST and of datasets in its format, by MD5 sum: they have the same names and are mixed up."""
    from torchvision.datasets import KMNIST, MNIST, FashionMNIST

    packed = {
        md5: f"{each.__name__}'s {name}" for each in (MNIST, FashionMNIST, KMNIST) for name, md5 in each.resources
    }
    return packed | {md5: f"MNIST's {name}" for name, md5 in MNIST_MD5.items()}


def provide_file(file: PublishedFile, data_dir: Path) -> Path:
    """Find a file, or download it, or unpack it from its archive. Raises what torchvision raises without a network."""
    from torchvision.datasets.utils import extract_archive

    path = data_dir / file.path
    archive = provide_file(file.archive, data_dir) if file.archive and not path.exists() else None
    with exclusive(path.parent):
        if not (found := find_file(file, data_dir)):  # nor did another process make it meanwhile
            if archive:
                log.info("unpacking %s", archive)
                extract_archive(archive, data_dir)
            else:
                log.info("downloading %s into %s", file.name, path.parent)
                download(file, path)
            found = find_file(file, data_dir)
    if found is None:
        raise FileNotFoundError(f"{archive} has no {file.path}")
    return found


def download(file: PublishedFile, path: Path) -> None:
    """Download a file, whole or not at all, from the first of its addresses that has it as published."""
    from torchvision.datasets.utils import download_url

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder, network_timeout():
        for number, url in enumerate(file.urls, 1):
            try:
                download_url(url, folder, file.name, file.md5)
                break
            except (OSError, RuntimeError, http.client.HTTPException):
                (Path(folder) / file.name).unlink(missing_ok=True)
                if number == len(file.urls):
                    raise
        (Path(folder) / file.name).replace(path)


@contextlib.contextmanager
def download_errors(title: str, missing: Sequence[PublishedFile], data_dir: Path) -> Iterator[None]:
    """Raise ConfigError where files can be neither found nor downloaded, and OSError where the disk is the reason."""
    try:
        yield
    except ConfigError:
        raise
    # torchvision raises any of these for a wrong answer, or without a network
    except (OSError, RuntimeError, ValueError, EOFError, http.client.HTTPException) as error:
        number = error.errno if isinstance(error, OSError) else None
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        names_a_file = bool(number and getattr(error, "filename", None))
        if is_memory_error(error) or number in DISK_ERRORS or (names_a_file and not is_missing):
            raise
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        if isinstance(error, RuntimeError) and "corrupted" in reason:  # torchvision's word for a wrong sum
            reason = "the server sent something else"
        files = [file.archive or file for file in missing]
        folders = " and ".join(dict.fromkeys(str((data_dir / file.path).parent) for file in files))
        raise ConfigError(
            f"{title} is missing in {(data_dir / missing[0].path).parent} and could not be downloaded ({reason}): "
            f"connect to a network, put {names_of(files)} into {folders}, set data_dir to the folder that holds it, "
            "or choose dataset=digits, which needs no download."
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
