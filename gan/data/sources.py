"""Where images are read from: the files of a folder, by name."""

import errno
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gan.system import files

MAX_FILE_BYTES = 256 * 2**20  # more than any image has, and less than a zip bomb
START_BYTES = 32  # by which a format is known
SYSTEM_NAMES = {  # beside what begins with a dot: of macOS, Windows, Synology, QNAP, Linux
    *("__macosx", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini", "icon\r"),
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "lost+found"),
}
TRANSIENT_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
HIDDEN = "hidden"  # what hidden files and folders are counted as; of a folder, it alone


@dataclass(frozen=True)
class Source:
    """What is read: files of images, or an array.

    Args:
        names: of its files, relative, with `/`; of an array, the images' numbers. Those of files in a folder that are
            not UTF-8 have surrogates, as `os.fsdecode` makes them.
        read: returns a file's content by its name, or the image of an array. Raises ValueError for one that is too
            large, and whatever reading raises.
        read_start: returns a file's first bytes by its name.
        skipped: how many files are not among `names`, by what they are.
        is_array: whether it is an array, and has no files.
        labels: names of the classes of an array's images, in the order of `names`; None: they have none.
        class_names: of all classes of an array, in their order; empty: those in `labels`.
    """

    names: list[str]
    read: Callable[[str], bytes | np.ndarray]
    read_start: Callable[[str], bytes]
    skipped: Counter[str] = field(default_factory=Counter)
    is_array: bool = False
    labels: list[str] | None = None
    class_names: tuple[str, ...] = ()


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that a system or a program has put there for itself, by its name."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def is_transient(error: Exception) -> bool:
    """Whether a file that could not be read may be a good one: the system had too little of something."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in TRANSIENT_ERRORS)


def check_bytes(count: int) -> None:
    """Raise ValueError for a file that is larger than any image."""
    if count > MAX_FILE_BYTES:
        raise ValueError(f"{count} bytes are too many")


def list_folder(path: Path) -> tuple[Source, str]:
    """The files below a folder, and a stamp that changes when they change. Raises OSError where it cannot be listed.

    Links are followed, as torchvision does, but never to a folder that the link lies in. Of a million files the names
    are held once: their stamp is a sum, which needs neither a list nor an order.
    """
    root, names, total, skipped = os.fspath(path), [], 0, Counter[str]()
    for name, stat in walk(root, skipped):
        names.append(name)
        text = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}"
        total += int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=16).digest(), "big")

    def read(name: str) -> bytes:
        with files.open_file(Path(root, name)) as file:
            check_bytes(os.fstat(file.fileno()).st_size)
            return file.read()

    def read_start(name: str) -> bytes:
        with files.open_file(Path(root, name)) as file:
            return file.read(START_BYTES)

    return Source(names, read, read_start, skipped), f"{path.resolve()} {len(names)} {total % 2**128:x}"


def walk(root: str, skipped: Counter[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of every visible file below `root`, in no order; what is left out is counted in `skipped`."""
    top = Path(root).stat()
    pending: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ((top.st_dev, top.st_ino),))]
    while pending:
        prefix, parents = pending.pop()
        try:
            entries = os.scandir(Path(root, prefix))
        except OSError:
            if not prefix:
                raise
            skipped["unreadable folders"] += 1
            continue
        with entries:
            for entry in entries:
                if is_hidden(entry.name):
                    skipped[HIDDEN] += 1
                    continue
                try:
                    stat = entry.stat()
                    is_folder, is_file = entry.is_dir(), entry.is_file()
                except OSError:  # a link to nothing, or to itself
                    skipped["broken links"] += 1
                    continue
                identity = (stat.st_dev, stat.st_ino)
                if is_file:
                    yield prefix + entry.name, stat
                elif not is_folder:
                    skipped["pipes and devices"] += 1
                elif identity in parents:
                    skipped["circular links"] += 1
                else:
                    pending.append((f"{prefix}{entry.name}/", (*parents, identity)))
