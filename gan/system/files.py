"""Atomic writes and reserved disk space; files of a run folder, which may come from a stranger."""

import contextlib
import errno
import itertools
import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from gan.config.errors import ConfigError, first_line
from gan.system import locks

log = logging.getLogger(__name__)
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_TEXT_BYTES = 16 * 2**20  # of a file of settings or results; ours have a few thousand
MAX_ROWS_BYTES = 2**30  # of a file of rows; one of a million rows has about half as many
MAX_DEPTH = 50  # of nested lists and mappings; ours have five
PARTIAL = re.compile(r"\..+\.(\d+)@([\w.-]+)\.part")  # what process N of a host is writing
PARTIAL_SECONDS = 24 * 3600.0  # without a change, after which another host has left it
MAX_YAML_CHARACTERS = 2**20
MAX_YAML_NODES = 100_000  # of a YAML file, since each takes a kilobyte of memory; ours have a few hundred
MAX_SCALAR = 10_000  # characters of one value: YAML has numbers whose reading takes the square of their length
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
    remove_partial(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}@{locks.HOST}.part")
    try:
        partial.unlink(missing_ok=True)
        with partial.open("xb") as file:  # and never through a link that somebody prepared under this name
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
def reserve_space(folder: Path) -> Iterator[Callable[[], None]]:
    """Reserve a little disk space in `folder`, so that the status can still be written on a full disk.

    Yields a function that releases the space early.
    """
    reserved = folder / ".room"
    with contextlib.suppress(OSError):  # the disk is full already
        reserved.unlink(missing_ok=True)
        with reserved.open("xb") as file:  # neither through a link nor into a pipe
            file.write(bytes(RESERVED_BYTES))

    def release() -> None:
        with contextlib.suppress(OSError):
            reserved.unlink(missing_ok=True)

    try:
        yield release
    finally:
        release()


def remove_partial(folder: Path) -> None:
    """Remove the temporary files that `atomic_write` left in `folder` in a process that was killed."""
    with contextlib.suppress(OSError):  # another process has removed it, or the folder cannot be listed
        for entry in os.scandir(folder):
            if match := PARTIAL.fullmatch(entry.name):
                pid, host = match.groups()
                is_old = host != locks.HOST and time.time() - entry.stat().st_mtime > PARTIAL_SECONDS
                if is_old or locks.has_ended(host, int(pid)):
                    Path(entry.path).unlink(missing_ok=True)


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError where that fails, and ValueError for a folder, a pipe or a device.

    Opening a pipe would wait for ever.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ValueError(f"{path} is not a file")
    return os.fdopen(number, "rb")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The content of a file. Raises what `open_file` raises, and ValueError where it has more than `max_bytes`."""
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise ValueError(f"{path} has more than {max_bytes} bytes")
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
    if len(text) > MAX_YAML_CHARACTERS:
        raise ValueError(f"it has more than {MAX_YAML_CHARACTERS} characters")
    loader = yaml.SafeLoader if "\\uD" in text else YamlLoader  # libyaml knows no names that are not UTF-8
    try:
        depth = 0
        for count, event in enumerate(yaml.parse(text, loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has an alias")
            if depth > MAX_DEPTH or count > MAX_YAML_NODES:
                raise ValueError("it is nested too deeply or has too many values")
            if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
                raise ValueError("it has a value that is too long")
        return yaml.load(text, loader)
    except MemoryError:
        raise
    except Exception as error:  # beside YAMLError nearly anything, for a tag on a value that it does not fit
        raise ValueError(first_line(error)) from error


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a symbolic link in `path`, which is below `folder`, leads out of that folder. It may be a link itself."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def links_that_leave(folder: Path) -> Iterator[Path]:
    """Symbolic links below `folder` that lead out of it."""
    for parent, folders, names in os.walk(os.path.realpath(folder)):
        for path in (Path(parent, name) for name in (*folders, *names)):
            if path.is_symlink() and leads_out(path, folder):
                yield path


def check_links(folder: Path) -> None:
    """Raise ConfigError if a link in a run folder leads out of it: what a run writes would overwrite files there."""
    for path in links_that_leave(folder):
        raise ConfigError(
            f"{path} is a link to {path.readlink()}, outside the run folder: not followed; put what it leads to in its "
            "place, or remove it."
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
    except (FileNotFoundError, NotADirectoryError):
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


def grid_name(step: int, kind: str = "step") -> str:
    """The name of the file of a sample grid; of kind `normalized` is the same grid in its own pixel range."""
    return f"{kind}_{step:07d}.png"


def move_aside(path: Path) -> None:
    """Rename what stands where a file or folder will be written, so that nothing of it is lost; a warning says so."""
    name = path.name.replace(".tfevents", "")  # or TensorBoard would read it
    names = (path.with_name(f"aside_{number}_{name}") for number in itertools.count(1))
    aside = next(other for other in names if not os.path.lexists(other))
    path.rename(aside)
    log.warning("%s is not what a run writes there, and has been renamed to %s.", path, aside.name)
