"""Locks between processes, and whether the process that should hold one still lives."""

import contextlib
import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, SoftFileLock, Timeout

log = logging.getLogger(__name__)
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}  # from a file system that has none
LOOK_SECONDS = 1.0  # after which nobody looks at a lock any more, in `is_locked`


def host_name() -> str:
    """Where a process number has a meaning: this machine, and the container if it numbers processes by itself."""
    try:
        container = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        container = 0
    is_machine = container in (0, 0xEFFFFFFC)  # Linux reserves that number
    return re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname()) + ("" if is_machine else f"-{container:x}")


HOST = host_name()


def this_process() -> dict[str, Any]:
    """Host and number of this process, for a file that others read."""
    return {"host": HOST, "pid": os.getpid()}


def has_ended(host: Any, pid: Any) -> bool:
    """Whether a process is known not to live any more. False where that cannot be known, as on another host."""
    if host != HOST or os.name != "posix" or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # of another user
        return False
    return False


def acquire(path: Path, seconds: float) -> contextlib.AbstractContextManager[Any]:
    """Lock `path` until the end of the returned context; the system ends it where the process dies.

    On a file system that has no locks, a file beside it names the process; where that one died on the same host,
    the file is replaced. Raises Timeout, which names the file, after `seconds`; -1: never.
    """
    try:
        return FileLock(path).acquire(timeout=seconds)
    except Timeout:
        raise
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
    return SoftFileLock(path.with_name(f"{path.name}.owner")).acquire(timeout=seconds)


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock `path`; None where that cannot be known, as without such a file.

    Creates nothing and holds the lock, together with others who look, for less than a millisecond.
    """
    try:
        import fcntl

        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (ImportError, OSError):  # on Windows; not there, or not readable
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EAGAIN, errno.EACCES) else None
    finally:
        os.close(number)
    return False


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lock `path` while it is made, so that other processes wait, and then find it.

    Without a lock where nothing can be written beside `path`, since then no process can make it.
    """
    lock = path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(acquire(lock, 0))
            except Timeout as timeout:
                log.info(
                    "waiting for another process, which is making %s; if there is none, remove %s",
                    path,
                    timeout.lock_file,
                )
                stack.enter_context(acquire(lock, -1))
        yield
