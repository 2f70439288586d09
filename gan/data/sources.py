"""Where images are read from: the files of a folder, of a zip or of a tar, by name."""

import contextlib
import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, TypeVar, cast

import numpy as np

from gan.config.errors import ConfigError, first_line
from gan.system import files

MAX_FILE_BYTES = 256 * 2**20  # more than any image has, and less than a zip bomb
START_BYTES = 32  # by which a format is known
SYSTEM_NAMES = {  # beside what begins with a dot: of macOS, Windows, Synology, QNAP, Linux
    *("__macosx", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini", "icon\r"),
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "lost+found"),
}
HIDDEN = "hidden"  # what hidden files and folders are counted as; of a folder, it alone
REPEATED = "repeated in the archive"


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


def hidden_part(name: str) -> str:
    """The path to the first hidden file or folder in a path; empty where nothing in it is hidden."""
    parts = name.split("/")
    first = next((index for index, part in enumerate(parts) if is_hidden(part)), None)
    return "" if first is None else "/".join(parts[: first + 1])


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


@contextlib.contextmanager
def open_archive(path: Path, title: str, folder: Path) -> Iterator[Source]:
    """The files of a zip or a tar, which stays open in this context. Raises ConfigError for any other file.

    Args:
        title: the setting that names it, for error messages.
        folder: for a compressed tar, which is unpacked there while it is read: it can only be read from its start.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield zip_source(archive)
        else:
            with open_tar(path, title, folder) as source:
                yield source
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ConfigError(
            f"{title} is neither a folder nor a readable zip, tar, npy or npz ({first_line(error)})."
        ) from error


def zip_source(archive: zipfile.ZipFile) -> Source:
    """The files of an open zip."""
    members: dict[str, zipfile.ZipInfo] = {}
    skipped = add_members(members, ((zip_name(info), info) for info in archive.infolist() if not is_folder(info)))

    def read(name: str) -> bytes:
        check_bytes(members[name].file_size)
        return archive.read(members[name])

    def read_start(name: str) -> bytes:
        with archive.open(members[name]) as file:
            return file.read(START_BYTES)

    return Source(list(members), read, read_start, skipped)


def is_folder(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(("/", "\\"))


def zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name. macOS writes UTF-8 without the flag that says so; some programs of Windows write backslashes."""
    name = info.filename
    if not info.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):  # then it is in code page 437, as zipfile takes it
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


@contextlib.contextmanager
def open_tar(path: Path, title: str, folder: Path) -> Iterator[Source]:
    """The files of a tar, which stays open in this context; a compressed one is unpacked into `folder`."""
    with tarfile.open(path) as archive:
        file = archive.fileobj
        if isinstance(file, io.BufferedReader):
            yield tar_source(archive, file)
            return
        assert file is not None  # it decompresses
        file.seek(0)
        with (
            unpack(cast(IO[bytes], file), folder, title) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r:") as plain,
        ):
            yield tar_source(plain, unpacked)


def tar_source(archive: tarfile.TarFile, file: BinaryIO) -> Source:
    """The files of a tar that is open, and not compressed, as `file`."""
    members: dict[str, tarfile.TarInfo] = {}
    others = Counter("links in the archive" for info in archive if info.issym() or info.islnk())
    skipped = add_members(members, ((info.name, info) for info in archive if info.isreg() and not info.issparse()))
    lock = threading.Lock()

    def read_part(name: str, count: int) -> bytes:
        with lock:
            file.seek(members[name].offset_data)
            return file.read(count)

    def read(name: str) -> bytes:
        check_bytes(members[name].size)
        return read_part(name, members[name].size)

    def read_start(name: str) -> bytes:
        return read_part(name, min(members[name].size, START_BYTES))

    return Source(list(members), read, read_start, others + skipped)


@contextlib.contextmanager
def unpack(file: IO[bytes], folder: Path, title: str) -> Iterator[BinaryIO]:
    """The rest of a compressed file in a temporary one in `folder`, where every part can be read at once.

    Raises ConfigError where it is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as unpacked:
        try:
            shutil.copyfileobj(file, unpacked, 2**20)
        except (zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the system's, and not a decompressor's
                raise
            raise ConfigError(f"{title} is damaged, and cannot be unpacked ({first_line(error)}).") from error
        unpacked.seek(0)
        yield unpacked


Member = TypeVar("Member")


def add_members(members: dict[str, Member], found: Iterable[tuple[str, Member]]) -> Counter[str]:
    """Add the visible files of an archive to `members`, the last of each name. Returns what is left out."""
    skipped, hidden = Counter[str](), set()
    for name, member in found:
        name = "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
        if part := hidden_part(name):
            hidden.add(part)
        else:
            skipped[REPEATED] += name in members
            members[name] = member
    return +(skipped + Counter({HIDDEN: len(hidden)}))
