"""The files of a zip or a tar, by name."""

import contextlib
import io
import lzma
import shutil
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, TypeVar, cast

from gan.config.errors import ConfigError, first_line
from gan.data.sources import HIDDEN, START_BYTES, Source, check_bytes, is_hidden

REPEATED = "repeated in the archive"  # what members are counted as that a later one of their name replaces
PLAIN = "files"  # what others are counted as that are read
NO_END = "missing end of the archive"  # it may have been cut between two files, or been written so
Member = TypeVar("Member")


@contextlib.contextmanager
def open_archive(path: Path, title: str, folder: Path) -> Iterator[Source]:
    """The files of a zip or a tar, which stays open in this context. Raises ConfigError for any other file.

    Args:
        title: the setting that names it, for error messages.
        folder: for a compressed tar, which is unpacked there while it is read: it can only be read from its start.
    """
    with contextlib.ExitStack() as stack:
        try:
            if zipfile.is_zipfile(path):
                source = zip_source(stack.enter_context(zipfile.ZipFile(path)))
            else:
                source = stack.enter_context(open_tar(path, title, folder))
        except (zipfile.BadZipFile, NotImplementedError, tarfile.TarError, EOFError) as error:
            reason = first_line(error).rstrip(":")
            raise ConfigError(f"{title} is neither a folder nor a readable zip, tar, npy or npz ({reason}).") from error
        yield source


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
    """The files of a tar that is open, and not compressed, as `file`. Raises ReadError where it is damaged."""
    members: dict[str, tarfile.TarInfo] = {}
    others = Counter(tar_kind(info) for info in archive if not info.isdir())
    skipped = add_members(members, ((info.name, info) for info in archive if tar_kind(info) == PLAIN))
    file.seek(archive.offset)  # where Python's tarfile has stopped, also in the middle
    end = file.read(tarfile.BLOCKSIZE)
    if any(end):
        raise tarfile.ReadError(f"the entry at byte {archive.offset} is damaged")
    others[NO_END] = int(not end)
    del others[PLAIN]
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


def tar_kind(info: tarfile.TarInfo) -> str:
    """What a member of a tar that is no folder is counted as; PLAIN ones are read."""
    if info.issym() or info.islnk():
        return "links in the archive"
    if info.issparse():
        return "sparse files in the archive"
    return PLAIN if info.isreg() else "pipes and devices"


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


def hidden_part(name: str) -> str:
    """The path to the first hidden file or folder in a path; empty where nothing in it is hidden."""
    parts = name.split("/")
    first = next((index for index, part in enumerate(parts) if is_hidden(part)), None)
    return "" if first is None else "/".join(parts[: first + 1])
