"""Files that are whole or absent, whenever the process dies."""

import contextlib
import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)
ROOM = 65_536  # bytes; status.json and a line of the log take a few thousand


def relative_path(path: Path, start: Path = Path()) -> str:
    """The way to `path` from `start`; all of the path where there is none, as to another drive of Windows."""
    try:
        return os.path.relpath(path, start)
    except ValueError:
        return str(path)


@contextlib.contextmanager
def atomic_write(path: Path, durable: bool = True, keep: Path | None = None) -> Iterator[BinaryIO]:
    """Open `path` for writing beside itself, and put the new file in its place once it is complete.

    Args:
        durable: also wait until it is on the disk, so that it outlives a power cut (about 20 ms for 5 MB).
        keep: where the file that stood there goes; it is thrown away by default.

    Raises OSError where it cannot be written, or `path` is a folder or a device.
    """
    if path.exists() and not path.is_file():  # root could replace /dev/null
        raise OSError(errno.EEXIST, "it is there and is no file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if keep and path.exists():
            path.replace(keep)
        beside.replace(path)
    except OSError as error:
        if error.filename == str(beside):
            error.filename = str(path)
        raise
    except RuntimeError as error:
        if not any(words in str(error) for words in ("PytorchStreamWriter", "inline_container")):
            raise
        # torch's words for a disk that takes no more
        raise OSError(errno.ENOSPC, "it could not be written whole", str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """While this lasts, other processes that would make `path` as well wait, and then find it there.

    Where nothing can be written beside it, nobody can make it, and nobody waits.
    """
    lock, held = FileLock(path.with_name(f".{path.name}.lock")), contextlib.nullcontext()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is making %s: waiting for it", path)
            held = lock.acquire()
    with held:
        yield


@contextlib.contextmanager
def reserve_space(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold some room on the disk of `folder` while this lasts, to say what happened once nothing else fits.

    What is handed out gives the room back.
    """
    held = folder / ".room"
    with contextlib.suppress(OSError):  # it is full already
        held.write_bytes(bytes(ROOM))

    def give_back() -> None:
        with contextlib.suppress(OSError):
            held.unlink(missing_ok=True)

    try:
        yield give_back
    finally:
        give_back()


def remove_partial(folder: Path) -> None:
    """Remove what was being written below `folder` when a process died."""
    for path in folder.rglob(".*.part"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object, durable: bool = True) -> None:
    """Write `value` as indented JSON."""
    with atomic_write(path, durable) as file:
        file.write(json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """A file of JSON objects, one to a line; none where there is no file.

    A line that is no row of a step is left out, such as the last one after a crash.
    """
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the file by these."""
    with atomic_write(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add one at the end."""
    with path.open("a") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
