"""Files that are whole or absent, whenever the process dies."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def whole(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Open `path` for writing beside itself, and put the new file in its place once it is complete.

    Args:
        durable: also wait until it is on the disk, so that it outlives a power cut (about 20 ms for 5 MB).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: object, durable: bool = True) -> None:
    """Write `value` as indented JSON."""
    with whole(path, durable) as file:
        file.write(json.dumps(value, indent=2).encode() + b"\n")
