"""Checkpoints: written atomically, read without running code."""

import contextlib
import json
import logging
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from omegaconf.errors import OmegaConfBaseException

from gan import __version__
from gan.config.errors import ConfigError, format_value
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
        with files.open_file(path) as file:
            if not is_intact(file):
                return None
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file makes the readers raise nearly anything
        return None
    is_whole = isinstance(state, dict) and state.keys() >= {"image", "step", "tricks"}
    return state if is_whole and isinstance(state.get("config"), str) else None


def is_intact(file: BinaryIO) -> bool:
    """Whether a zip has the checksums that it should have, which torch does not verify, and is no bomb.

    torch.save stores all parts as they are, so that together they are smaller than the file.
    """
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        is_stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
        is_intact = is_stored and sum(part.file_size for part in parts) <= os.fstat(file.fileno()).st_size
        is_intact = is_intact and archive.testzip() is None
    file.seek(0)
    return is_intact


def parse_config(text: str) -> dict[str, Any]:
    """The configuration in a checkpoint. Raises ValueError where it is none.

    It was resolved when it was written: a reference such as `${oc.env:NAME}` would copy a secret of this machine.
    """
    config = files.parse_yaml(text)
    if not isinstance(config, dict) or "${" in json.dumps(config):
        raise ValueError("it is no resolved configuration")
    return config


def with_current_names(config: str) -> str:
    """A configuration (YAML) with the current names of the classes in MOVED."""
    return re.sub(r"(?<=_target_: )\S+", lambda target: MOVED.get(target[0], target[0]), config)


@contextlib.contextmanager
def compatible_version(folder: Path) -> Iterator[None]:
    """Around the use of a checkpoint: raises ConfigError where its content does not fit."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, OmegaConfBaseException) as error:
        raise ConfigError(
            f"the checkpoint in {folder} does not fit: it was made by another version of this project, or changed."
        ) from error


def check_same_settings(saved: str, current: str) -> None:
    """Raise ConfigError if two configurations (YAML) would give different results."""
    before, after = (flatten(parse_config(text)) for text in (saved, current))
    changes = [
        f"{name} was {format_value(before.get(name))} and is now {format_value(after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not MAY_CHANGE & {name, name.split(".")[0]}
    ]
    if changes:
        raise ConfigError(f"a run can only be resumed with the settings it began with: {'; '.join(changes)}.")


def flatten(config: Any, path: str = "") -> dict[str, Any]:
    """A nested configuration as {"train.batch_size": 64, ...}."""
    if not isinstance(config, dict):
        return {path: config}
    parts = [flatten(value, f"{path}.{name}".lstrip(".")) for name, value in config.items()]
    return {name: value for part in parts for name, value in part.items()}
