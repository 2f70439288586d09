"""A cache: files that are made again where they are missing or wrong, and removed where nobody needs them."""

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from gan.config.errors import first_line
from gan.system import files

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_BYTES = 100 * 2**30  # of all files in a cache
# What this project puts into a cache, which may be a folder with other files.
FILES = re.compile(
    r"images-(\d+-)?[0-9a-f]{16}\.(npy|json)|celeba-\d+-(train|test)-[\w-]+\.npy|digits-(train|test)-\d+-[0-9a-f]{8}\.pt|"
    r"classifier-.+-[0-9a-f]{8}\.pt|baseline-.+-[0-9a-f]{8}-.+\.json"
)


def from_cache(path: Path, read: Callable[[Path], T], make: Callable[[], T], write: Callable[[T, Any], None]) -> T:
    """What `read` finds in the file `path` of a cache, or else what `make` returns, which `write` then puts there.

    A file of another form, for which `read` raises anything but OSError, is replaced. One that cannot be read is left
    as it is. A cache that cannot be written is done without.
    """
    try:
        return read(path)
    except (FileNotFoundError, NotADirectoryError):
        is_replaced = True
    except (OSError, MemoryError) as error:
        is_replaced = False
        log.warning("%s cannot be read (%s): it is left as it is, and its content made again", path, first_line(error))
    except Exception as error:
        is_replaced = True
        log.warning("%s is damaged or of another form (%s): it is made again", path, first_line(error))
    content = make()
    if is_replaced:
        try:
            with files.atomic_write(path) as file:
                write(content, file)
        except OSError as error:
            log.info("%s is not kept: %s", path, first_line(error))
    return content


def list_files(folder: Path) -> dict[Path, os.stat_result]:
    """The files that this project put into the cache `folder`, the one used last at the end."""
    stats = {}
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):  # another process may have removed it
            if FILES.fullmatch(path.name) and path.is_file():
                stats[path] = path.stat()
    return dict(sorted(stats.items(), key=lambda item: last_use(item[1])))


def last_use(stat: os.stat_result) -> float:
    """When a file was read or written last; many systems note the reading once a day only."""
    return max(stat.st_atime, stat.st_mtime)


def describe(folder: Path) -> list[str]:
    """A line for each file of the cache with its size and the day of its last use, and one with their sum."""
    stats = list_files(folder)
    lines = [
        f"{stat.st_size / 2**20:10,.1f} MB  {time.strftime('%Y-%m-%d', time.localtime(last_use(stat)))}  {path.name}"
        for path, stat in stats.items()
    ]
    total = sum(stat.st_size for stat in stats.values())
    return [
        *lines,
        f"{folder}: {len(stats)} files of {total / 2**30:.2f} GB; at most {MAX_BYTES / 2**30:.0f} GB are kept",
    ]


def remove_stale(folder: Path, pattern: str, current: str) -> None:
    """Remove the files of the cache that match `pattern`, unless they match `current` too: other versions made them."""
    for path in list_files(folder):
        if fnmatch(path.name, pattern) and not fnmatch(path.name, current):
            remove(path, "another version made it")


def limit_size(folder: Path, limit: int | None = None) -> None:
    """Remove the files of the cache that have not been used for longest, until all have at most `limit` bytes.

    A process that still uses such a file keeps it until it ends. The file that was used last stays, with the one of
    its name beside it.

    Args:
        limit: None: MAX_BYTES.
    """
    stats = list_files(folder)
    total = sum(stat.st_size for stat in stats.values())
    last = next((path.stem for path in reversed(stats)), "")
    for path, stat in stats.items():
        if path.stem != last and total > (MAX_BYTES if limit is None else limit):
            remove(path, f"the cache has {total / 2**30:.1f} GB, and this was not used for longest")
            total -= stat.st_size


def remove(path: Path, reason: str) -> None:
    log.info("%s is removed from the cache: %s", path, reason)
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
