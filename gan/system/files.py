"""Atomic writes, locks and reserved disk space; JSON files and files of JSON rows."""

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
RESERVED_BYTES = 65_536  # status.json and a line of the log take a few thousand


def relative_path(path: Path, start: Path = Path()) -> str:
    """`path` relative to `start`, or as it is where there is no relative path (another drive on Windows)."""
    try:
        return os.path.relpath(path, start)
    except ValueError:
        return str(path)


@contextlib.contextmanager
def atomic_write(path: Path, durable: bool = True, backup: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, and rename it to `path` once it is complete.

    Args:
        durable: also flush it to the disk, so that it survives a power cut (about 20 ms for 5 MB).
        backup: what the replaced file is renamed to; it is removed by default.

    Raises OSError where the file cannot be written, or `path` is a folder or a device.
    """
    if path.exists() and not path.is_file():  # root could replace /dev/null
        raise OSError(errno.EEXIST, "it exists and is not a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if backup and path.exists():
            path.replace(backup)
        partial.replace(path)
    except OSError as error:
        if error.filename == str(partial):
            error.filename = str(path)
        raise
    except RuntimeError as error:
        if not any(name in str(error) for name in ("PytorchStreamWriter", "inline_container")):
            raise
        # torch.save's errors where the disk is full
        raise OSError(errno.ENOSPC, "it could not be written completely", str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock `path` while it is made, so that other processes wait, and then find it.

    Without a lock where nothing can be written beside `path`, since then no process can make it.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                log.info("waiting for another process, which is making %s", path)
                stack.enter_context(lock)
        yield


@contextlib.contextmanager
def reserve_space(folder: Path) -> Iterator[Callable[[], None]]:
    """Reserve a little disk space in `folder`, so that the status can still be written on a full disk.

    Yields a function that releases the space early.
    """
    reserved = folder / ".room"
    with contextlib.suppress(OSError):  # the disk is full already
        reserved.write_bytes(bytes(RESERVED_BYTES))

    def release() -> None:
        with contextlib.suppress(OSError):
            reserved.unlink(missing_ok=True)

    try:
        yield release
    finally:
        release()


def remove_partial(folder: Path) -> None:
    """Remove the temporary files that `atomic_write` left below `folder` in a process that was killed."""
    for path in folder.rglob(".*.part"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object, durable: bool = True) -> None:
    """Write `value` as indented JSON."""
    with atomic_write(path, durable) as file:
        file.write(json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with one JSON object per line; none where there is no file.

    Lines that are no row with a step are left out, such as an incomplete last line after a crash.
    """
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a file with one JSON object per line."""
    with atomic_write(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON object as a line."""
    with path.open("a") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
