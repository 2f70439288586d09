"""Atomic writes, locks and reserved disk space; files of a run folder, which may come from a stranger."""

import contextlib
import errno
import itertools
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from filelock import FileLock, Timeout

from gan.config.errors import ConfigError

log = logging.getLogger(__name__)
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_TEXT_BYTES = 16 * 2**20  # of a file of settings or results; ours have a few thousand
MAX_ROWS_BYTES = 2**30  # of a file of rows; one of a million rows has about half as many
MAX_DEPTH = 50  # of nested lists and mappings; ours have five
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


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The content of a file.

    Raises OSError where it cannot be read, and ValueError where it is too large or no file: opening a pipe would wait
    for ever.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(number, "rb") as file:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{path} is not a file")
        if about.st_size > max_bytes:
            raise ValueError(f"{path} has {about.st_size} bytes, more than {max_bytes}")
        return file.read(max_bytes)


def read_text(path: Path) -> str:
    """The content of a file of settings or results. Raises what `read_bytes` raises; ValueError also for no UTF-8."""
    return read_bytes(path, MAX_TEXT_BYTES).decode("utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError where it cannot be read, and ValueError where it is something else."""
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply") from error


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises OSError where it cannot be read, and ValueError where it is something else."""
    return parse_yaml(read_text(path))


def parse_yaml(text: str) -> Any:
    """The content of YAML without aliases, with which a few lines can stand for gigabytes. Raises ValueError."""
    try:
        depth = 0
        for event in yaml.parse(text, YamlLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has an alias")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError("it is nested too deeply")
        return yaml.load(text, YamlLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def links_that_leave(folder: Path) -> list[Path]:
    """Symbolic links in or below `folder` that lead out of it. The folder itself may be one."""
    root, leaving = folder.resolve(), []
    for parent, folders, names in os.walk(root):
        paths = [Path(parent, name) for name in (*folders, *names)]
        leaving += [path for path in paths if path.is_symlink() and not path.resolve().is_relative_to(root)]
    return leaving


def check_links(folder: Path) -> None:
    """Raise ConfigError if a link in a run folder leads out of it: what a run writes would overwrite files there."""
    if leaving := links_that_leave(folder):
        raise ConfigError(
            f"{leaving[0]} is a link to {leaving[0].readlink()}, outside the run folder: not followed; put what it "
            "leads to in its place, or remove it."
        )


def write_json(path: Path, value: object, durable: bool = True) -> None:
    """Write `value` as indented JSON."""
    with atomic_write(path, durable) as file:
        file.write(json.dumps(value, indent=2, allow_nan=False).encode() + b"\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with one JSON object per line; none where there is no file.

    Lines that are no row with a step are left out, with a warning unless it is an incomplete last line after a crash.
    Raises OSError where the file cannot be read, and ValueError where it is too large or no file.
    """
    try:
        *lines, last = read_bytes(path, MAX_ROWS_BYTES).split(b"\n")
    except FileNotFoundError:
        return []
    rows = [row for row in map(parse_row, lines) if row]
    if left_out := len(lines) - len(rows):
        log.warning("%s: %d of %d lines are no rows and are left out.", path, left_out, len(lines))
    return [*rows, row] if (row := parse_row(last)) else rows


def parse_row(line: bytes) -> dict[str, Any] | None:
    """The JSON object with a step in a line; None where it has none."""
    with contextlib.suppress(ValueError, RecursionError):
        row = json.loads(line)
        if isinstance(row, dict) and type(row.get("step")) is int and row["step"] >= 0:
            return row
    return None


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a file with one JSON object per line."""
    with atomic_write(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON object as a line."""
    with path.open("a") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def sample_grids(folder: Path) -> dict[int, Path]:
    """The sample grids of a run by their step. Other files, such as a copy `step_0000500 (1).png`, are none."""
    numbers = (path.stem.removeprefix("step_") for path in folder.glob("samples/step_*.png"))
    steps = sorted({int(number) for number in numbers if number.isdecimal()})
    grids = {step: folder / "samples" / grid_name(step) for step in steps}
    return {step: path for step, path in grids.items() if path.is_file()}


def grid_name(step: int) -> str:
    """The name of the file of a sample grid."""
    return f"step_{step:07d}.png"


def move_aside(path: Path) -> None:
    """Rename what stands where a file or folder will be written, so that nothing of it is lost; a warning says so."""
    name = path.name.replace(".tfevents", "")  # or TensorBoard would read it
    names = (path.with_name(f"aside_{number}_{name}") for number in itertools.count(1))
    aside = next(other for other in names if not os.path.lexists(other))
    path.rename(aside)
    log.warning("%s is not what a run writes there, and has been renamed to %s.", path, aside.name)
