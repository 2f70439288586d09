"""Checkpoints: written atomically, read without running code."""

import contextlib
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gan import __version__
from gan.config.comparison import describe_changes
from gan.config.errors import ConfigError
from gan.system import files
from gan.system.rank import RANK

log = logging.getLogger(__name__)

FORMAT = 2  # of a checkpoint; 1 had none of its own
MOVED: dict[str, str] = {}  # classes that have moved since format 2: the name in older checkpoints, and the current one

# Settings that may change when a run is resumed. They change results by rounding at most, or only where it ends.
MAY_CHANGE = {
    "resume",
    "retry",
    "trust",
    "device",
    "threads",
    "compile",
    "data_dir",
    "cache_dir",
    "dataset.test_path",
    "watch",
    "train.epochs",
    "train.max_steps",
}


def path_in(folder: Path, which: str = "last") -> Path:
    """Path of the newest checkpoint (last), the one before it (previous), or the one with the lowest FID (best)."""
    return folder / "checkpoints" / f"{which}.pt"


def save(folder: Path, state: dict[str, Any], which: str = "last") -> None:
    """Write a checkpoint. `last` keeps its predecessor as `previous`. Raises OSError where it cannot be written."""
    if RANK:
        return
    previous = path_in(folder, "previous") if which == "last" else None
    with files.atomic_write(path_in(folder, which), backup=previous) as file:
        torch.save(state, file)


def load(folder: Path, which: str = "last") -> dict[str, Any]:
    """The state in a checkpoint, on the CPU. Where `last` is damaged, `previous` is loaded.

    Raises ConfigError where there is none that can be read, or it has another format.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: must be a run, such as outputs/2026-01-31_12-00-00.")
    path = path_in(folder, which)
    is_damaged = path.exists()
    for candidate in (path, path_in(folder, "previous")) if which == "last" else (path,):
        if state := read(candidate):
            if state.get("format") != FORMAT:
                version = state.get("version", "0.1")
                raise ConfigError(
                    f"{candidate} has the checkpoint format of version {version}, and this is {__version__}: use "
                    "the version that wrote it, or train again."
                )
            if candidate != path:
                reason = "is damaged" if is_damaged else "is missing"
                log.warning("%s %s: using the previous checkpoint, of step %d.", path, reason, state["step"])
            return state | {"config": with_current_names(state["config"])}
    if is_damaged:
        raise ConfigError(f"{path} is damaged, or not a checkpoint of this project.")
    if which == "best" and path_in(folder).exists():
        raise ConfigError(f"checkpoint=best: {folder} has none; set watch.scores_every to keep one.")
    raise ConfigError(f"{folder} has no checkpoint ({path.relative_to(folder)}).")


def read(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint; None if it is missing, damaged or something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():  # torch does not verify the checksums
                return None
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file makes the readers raise nearly anything
        return None
    is_whole = isinstance(state, dict) and state.keys() >= {"image", "step", "tricks"}
    return state if is_whole and isinstance(state.get("config"), str) else None


def with_current_names(config: str) -> str:
    """A configuration (YAML) with the current names of the classes in MOVED."""
    return re.sub(r"(?<=_target_: )\S+", lambda target: MOVED.get(target[0], target[0]), config)


@contextlib.contextmanager
def compatible_version(folder: Path) -> Iterator[None]:
    """Around the use of a checkpoint: raises ConfigError where its content does not fit."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(
            f"the checkpoint in {folder} does not fit: it was made by another version of this project, or changed."
        ) from error


def check_same_settings(saved: str, current: str) -> None:
    """Raise ConfigError if two configurations (YAML) would give different results."""
    before, after = (OmegaConf.to_container(OmegaConf.create(text), resolve=True) for text in (saved, current))
    changes = describe_changes(before, after, MAY_CHANGE)
    if changes:
        raise ConfigError(f"a run can only be resumed with the settings it began with: {'; '.join(changes)}.")
