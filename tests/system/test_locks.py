"""Locks: who holds one, whether that process still lives, and file systems that have none."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from gan.system import locks


def test_a_process_has_ended_only_where_that_is_known(dead):
    assert locks.has_ended(locks.HOST, dead) and locks.has_ended(locks.HOST, 10**30)
    assert not locks.has_ended(locks.HOST, os.getpid())
    assert not locks.has_ended("another", dead)
    assert not any(locks.has_ended(locks.HOST, pid) for pid in (None, -1, 0, "1"))


def test_looking_at_a_lock_neither_creates_nor_disturbs_it(tmp_path):
    path = tmp_path / ".lock"
    assert locks.is_locked(path) is None and not path.exists()
    with FileLock(path):
        assert locks.is_locked(path) is True
    assert locks.is_locked(path) is False
    path.unlink()
    os.mkfifo(path)
    assert locks.is_locked(path) is not True  # and does not wait
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert locks.is_locked(path) is None


def test_a_run_starts_while_others_look_at_its_lock(tmp_path):
    """The look of another process lasts a moment."""
    (tmp_path / ".lock").touch()
    looking = (
        f"import fcntl, time; file = open({str(tmp_path / '.lock')!r}); fcntl.flock(file, fcntl.LOCK_SH); "
        "print(flush=True); time.sleep(0.2)"
    )
    with subprocess.Popen([sys.executable, "-c", looking], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with locks.acquire(tmp_path / ".lock", locks.LOOK_SECONDS):
            pass


def test_a_lock_in_use_is_an_error_that_names_it(tmp_path):
    lock = tmp_path / ".lock"
    with FileLock(lock), pytest.raises(Timeout) as caught, locks.acquire(lock, 0):
        pass
    assert caught.value.lock_file == str(lock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_without_file_locks_a_file_names_the_process(tmp_path, without_locks, dead, number):
    lock = tmp_path / ".lock"
    without_locks(number)
    with locks.acquire(lock, 0):
        (path,) = [path for path in tmp_path.iterdir() if str(os.getpid()) in path.read_text()]
        content = path.read_text()
        with pytest.raises(Timeout, match=re.escape(str(path))), locks.acquire(lock, 0):
            pass
    # Left by a process of this host that was killed, or copied with its folder from another host.
    _, host, *_ = content.splitlines()
    path.write_text(f"{dead}\n{host}\n")
    with locks.acquire(lock, 0):
        pass
    path.write_text(f"{dead}\nanother\n")
    with pytest.raises(Timeout, match=re.escape(str(path))), locks.acquire(lock, 0):
        pass
    path.unlink()
    with locks.acquire(lock, 0):
        pass


def test_another_error_is_no_lack_of_locks(tmp_path, without_locks):
    lock = tmp_path / ".lock"
    without_locks(errno.EIO)
    with pytest.raises(OSError) as caught, locks.acquire(lock, 0):
        pass
    assert caught.value.errno == errno.EIO


def test_no_process_waits_for_a_file_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with locks.exclusive(tmp_path / "file" / "never"), locks.exclusive(tmp_path / "file" / "never"):
        pass


def test_who_waits_for_a_lock_says_what_to_remove(tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    acquire = locks.acquire
    monkeypatch.setattr(locks, "acquire", lambda path, seconds: acquire(path, min(abs(seconds), 0.01)))
    with FileLock(tmp_path / ".made.lock"), locks.exclusive(tmp_path / "made"):
        assert str(Path(tmp_path / ".made.lock")) in caplog.text
