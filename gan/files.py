"""Files that are whole or absent, whenever the process dies."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def whole(path: Path, durable: bool = True, keep: Path | None = None) -> Iterator[BinaryIO]:
    """Open `path` for writing beside itself, and put the new file in its place once it is complete.

    Args:
        durable: also wait until it is on the disk, so that it outlives a power cut (about 20 ms for 5 MB).
        keep: where the file that stood there goes; it is thrown away by default.
    """
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
    finally:
        beside.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what was being written below `folder` when a process died."""
    for path in folder.rglob(".*.part"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object, durable: bool = True) -> None:
    """Write `value` as indented JSON."""
    with whole(path, durable) as file:
        file.write(json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """A file of JSON objects, one to a line; none where there is no file. A line that a crash cut short is left out."""
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the file by these."""
    with whole(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Add one at the end."""
    with path.open("a") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
