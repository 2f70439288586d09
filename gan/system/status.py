"""The state of a run, in `status.json`."""

from pathlib import Path
from typing import Any

from gan.system import files, locks

INITIAL = {
    "state": "running",  # running | finished | stopped | diverged | failed | refused
    "step": 0,
    "epoch": 0.0,
    "seconds": 0.0,
    "images_per_second": None,
    "error": None,  # one sentence
    "version": None,  # of this project
    "machine": None,  # processor or GPU, threads, versions
    "data": {},  # what the images are, their classes, what was skipped, hashes of the content
    "process": None,  # {"host": ..., "pid": ...} of the one that trains, or has trained
    "last": {},  # the last row of logged numbers
    "failures": [],  # of training, found by trick=track_failures: {"step": ..., "what": ...}
    "scores": {},  # the latest, by column, with their protocol
    "findings": {},  # of what followed the run, at its end, such as the path of a Dirac-GAN: words and numbers, by name
    "real_data": {},  # the scores of real images by the protocol of `scores`, with it; empty where they have none
}


def read(folder: Path) -> dict[str, Any]:
    """The status of the run in `folder`; INITIAL where there is none, it cannot be read, or it is damaged."""
    try:
        return load(folder)
    except OSError:
        return dict(INITIAL)


def load(folder: Path) -> dict[str, Any]:
    """The status of the run in `folder`; INITIAL where there is none, or it is damaged.

    Raises OSError where it cannot be read.
    """
    try:
        status = INITIAL | files.read_json(folder / "status.json")
    except (FileNotFoundError, ValueError, TypeError):
        return dict(INITIAL)
    valid = all(isinstance(status[name], type(value)) for name, value in INITIAL.items() if value is not None)
    return status if valid else dict(INITIAL)


def outcome(folder: Path) -> dict[str, Any]:
    """`read`, where a run that says "running", and whose process is known to be gone, is "interrupted"."""
    status = read(folder)
    if status["state"] == "running" and is_abandoned(folder, status["process"]):
        status = read(folder)  # it may have ended just before its lock was looked at
        if status["state"] == "running":
            status["state"] = "interrupted"
    return status


def is_abandoned(folder: Path, process: Any) -> bool:
    """Whether no process trains in `folder`, as its lock or the number of the `process` that did shows.

    False where neither can tell: a lock may not reach to another host, which only `process` names.
    """
    host, pid = (process.get("host"), process.get("pid")) if isinstance(process, dict) else (locks.HOST, None)
    is_locked = locks.is_locked(folder / ".lock")
    if is_locked is None:
        return locks.has_ended(host, pid)
    return not is_locked and host == locks.HOST


def update(folder: Path, **changes: Any) -> None:
    """Change entries of the run's status. The file is valid JSON at every moment.

    Other processes may do so at the same time: gan.evaluate adds scores to a run that is training. Raises OSError, and
    changes nothing, where it cannot be read.
    """
    durable = changes.get("state", "running") != "running"
    with locks.exclusive(folder / "status.json"):
        files.write_json(folder / "status.json", load(folder) | changes, durable)
