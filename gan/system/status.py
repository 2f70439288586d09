"""The state of a run, in `status.json`."""

from pathlib import Path
from typing import Any

from gan.system import files

INITIAL = {
    "state": "running",  # running | finished | stopped | diverged | failed | refused
    "step": 0,
    "epoch": 0.0,
    "seconds": 0.0,
    "images_per_second": None,
    "error": None,  # one sentence
    "version": None,  # of this project
    "machine": None,  # processor or GPU, threads, versions
    "last": {},  # the last row of logged numbers
    "failures": [],  # of training, found by trick=track_failures: {"step": ..., "what": ...}
    "scores": {},
}


def read(folder: Path) -> dict[str, Any]:
    """The status of the run in `folder`; INITIAL where there is none, or it is damaged."""
    try:
        status = INITIAL | files.read_json(folder / "status.json")
    except (OSError, ValueError, TypeError):
        return dict(INITIAL)
    valid = all(isinstance(status[name], type(value)) for name, value in INITIAL.items() if value is not None)
    return status if valid else dict(INITIAL)


def update(folder: Path, **changes: Any) -> None:
    """Change entries of the run's status. The file is valid JSON at every moment.

    Other processes may do so at the same time: gan.evaluate adds scores to a run that is training.
    """
    durable = changes.get("state", "running") != "running"
    with files.exclusive(folder / "status.json"):
        files.write_json(folder / "status.json", read(folder) | changes, durable)
