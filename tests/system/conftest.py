"""Processes that have ended, and file systems without locks."""

import fcntl
import os
import subprocess
import sys

import pytest


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def without_locks(monkeypatch):
    """A file system without locks, as some network file systems are: each error number that these give."""

    def use(number):
        def fail(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", fail)

    return use
