"""status.json: what is said of a run whose process is gone, and what cannot be read."""

import errno
import os
from pathlib import Path

import pytest
from filelock import FileLock

from gan.system import locks, status


@pytest.fixture
def running(tmp_path, dead):
    """The folder of a run whose process was killed."""
    status.update(tmp_path, state="running", step=7, process={"host": locks.HOST, "pid": dead})
    (tmp_path / ".lock").touch()
    return tmp_path


def test_a_run_whose_process_is_gone_is_interrupted(running):
    assert status.read(running)["state"] == "running"
    assert (status.outcome(running)["state"], status.outcome(running)["step"]) == ("interrupted", 7)
    with FileLock(running / ".lock"):
        assert status.outcome(running)["state"] == "running"


@pytest.mark.parametrize("state", ["finished", "stopped", "diverged", "failed", "refused"])
def test_a_run_that_has_ended_keeps_its_state(running, state):
    status.update(running, state=state)
    assert status.outcome(running)["state"] == state


def test_where_it_cannot_be_known_a_run_is_running(running):
    """Its process is on another host, or an older version did not write which one it is."""
    status.update(running, process={"host": "another", "pid": status.read(running)["process"]["pid"]})
    assert status.outcome(running)["state"] == "running"
    (running / ".lock").unlink()
    status.update(running, process=None)
    assert status.outcome(running)["state"] == "running"


def test_without_locks_the_number_of_the_process_tells(running, without_locks):
    without_locks(errno.ENOLCK)
    assert status.outcome(running)["state"] == "interrupted"
    status.update(running, process=locks.this_process())
    assert status.outcome(running)["state"] == "running"


def test_a_run_that_ends_meanwhile_is_not_interrupted(running, monkeypatch):
    def end(_path):
        status.update(running, state="finished")
        return False

    monkeypatch.setattr(locks, "is_locked", end)
    assert status.outcome(running)["state"] == "finished"


@pytest.mark.parametrize("process", ["x", 5, [], {}, {"host": 1, "pid": "x"}, {"host": locks.HOST, "pid": -1}])
def test_any_process_entry_is_read(running, process):
    status.update(running, process=process)
    assert status.outcome(running)["state"] in ("running", "interrupted")


def test_a_status_that_cannot_be_read_is_not_replaced(running, monkeypatch):
    content, open_file = (running / "status.json").read_bytes(), os.open

    def fail(path, *args, **kwargs):
        if Path(path).name == "status.json":
            raise OSError(errno.EMFILE, "Too many open files", str(path))
        return open_file(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", fail)
    assert status.read(running) == status.INITIAL
    with pytest.raises(OSError):
        status.update(running, state="finished")
    monkeypatch.undo()
    assert (running / "status.json").read_bytes() == content
