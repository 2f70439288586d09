"""A cache: files that are made again where they are missing or wrong."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gan.config.errors import first_line
from gan.system import files

log = logging.getLogger(__name__)
T = TypeVar("T")


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
