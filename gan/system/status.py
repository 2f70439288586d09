"""What became of a run, in `status.json`."""

import json
from pathlib import Path
from typing import Any

from gan.system import files

EMPTY = {
    "state": "running",  # running | finished | stopped | diverged | failed | refused
    "step": 0,
    "epoch": 0.0,
    "seconds": 0.0,
    "images_per_second": None,
    "error": None,
    "machine": None,  # what it ran on, with versions, on a line
    "last": {},
    "failures": [],  # of the game itself, as trick=track_failures sees them: {"step": ..., "what": ...}
    "scores": {},
}


def read(folder: Path) -> dict[str, Any]:
    """The status of the run in `folder`; that of a run that has not begun where there is none, or it was damaged."""
    try:
        found = json.loads((folder / "status.json").read_text("utf-8"))
    except (OSError, ValueError):
        return dict(EMPTY)
    known = EMPTY | (found if isinstance(found, dict) else {})
    fits = all(isinstance(known[name], type(value)) for name, value in EMPTY.items() if value is not None)
    return known if fits else dict(EMPTY)


def update(folder: Path, **changes: Any) -> None:
    """Change some entries of the run's status. The file is valid JSON at every moment."""
    lasting = changes.get("state", "running") != "running"
    files.write_json(folder / "status.json", read(folder) | changes, durable=lasting)
