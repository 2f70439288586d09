"""Checkpoints: written atomically, read without running code."""

import contextlib
import json
import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf.errors import OmegaConfBaseException

from gan import __version__
from gan.config.comparison import describe_changes
from gan.config.errors import ConfigError, first_line
from gan.system import files
from gan.system.device import memory_errors
from gan.system.rank import RANK
from gan.system.tensor_files import load_tensors

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
    "cuda_graphs",
    "data_dir",
    "cache_dir",
    "dataset.test_path",
    "watch",
    "train.epochs",
    "train.max_steps",
}


def path_in(folder: Path, which: str = "last") -> Path:
    """Path of the newest checkpoint (last), the one before it (previous), or the one with the best score (best)."""
    return folder / "checkpoints" / f"{which}.pt"


def save(folder: Path, state: dict[str, Any], which: str = "last") -> None:
    """Write a checkpoint. `last` keeps its predecessor as `previous`. Raises OSError where it cannot be written."""
    if RANK:
        return
    previous = path_in(folder, "previous") if which == "last" else None
    with files.atomic_write(path_in(folder, which), backup=previous) as file:
        torch.save(state, file)


def load(folder: Path, which: str = "last") -> dict[str, Any]:
    """The state in a checkpoint, on the CPU. Where `last` is damaged or missing, `previous` is loaded.

    Raises ConfigError where there is none, it is damaged, or has another format; OSError where it cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: must be a run, such as outputs/2026-01-31_12-00-00.")
    path = path_in(folder, which)
    for candidate in (path, path_in(folder, "previous")) if which == "last" else (path,):
        if state := read(candidate):
            check_format(candidate, state)
            if candidate != path:
                reason = "is damaged" if path.exists() else "is missing"
                log.warning("%s %s: using the previous checkpoint, of step %d.", path, reason, state["step"])
            return state | {"config": with_current_names(state["config"])}
    if path.exists():
        raise ConfigError(f"{path} is damaged, or not a checkpoint of this project.")
    if which == "best" and path_in(folder).exists():
        raise ConfigError(f"checkpoint=best: {folder} has none; set watch.scores_every to keep one.")
    raise ConfigError(f"{folder} has no checkpoint ({path.relative_to(folder)}).")


def check_format(path: Path, state: dict[str, Any]) -> None:
    """Raise ConfigError where `state`, the content of a checkpoint, has the format of another version."""
    if state.get("format") != FORMAT:
        version = state.get("version", "0.1")
        raise ConfigError(
            f"{path} has the checkpoint format of version {version}, and this is {__version__}: use the version that "
            "wrote it, or train again."
        )


def read(path: Path) -> dict[str, Any] | None:
    """The content of a checkpoint; None if it is missing, damaged or something else.

    Raises OSError where it cannot be read, since nobody knows then what it is.
    """
    try:
        state = load_tensors(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    is_whole = isinstance(state, dict) and state.keys() >= {"image", "step", "tricks"}
    return state if is_whole and isinstance(state.get("config"), str) else None


def choose_ema(state: dict[str, Any], decays: list[float], ema: bool | float) -> dict[str, Any] | None:
    """The weights in a checkpoint that `ema` chooses among the EMAs of these `decays`; None for those of G itself.

    Raises ConfigError for a decay that the run has not.
    """
    if isinstance(ema, bool):
        return state["ema"] if ema else None
    if ema not in decays:
        known = f"one of {', '.join(f'{decay:g}' for decay in decays)}, or " if decays else ""
        raise ConfigError(f"ema={ema:g}: must be {known}true or false; this run has no EMA of that decay.")
    networks = [state["ema"], *state.get("other_emas", [])]
    return dict(zip(decays, networks, strict=True))[ema]


def best_score(folder: Path, column: str, protocol: dict[str, Any]) -> float:
    """The score of `best` in a column of which lower is better.

    Infinity where there is none of this protocol, and minus infinity where it cannot be read.

    So what cannot be read is not replaced by something better, as nobody knows whether it is.
    """
    path = path_in(folder, "best")
    try:
        state = read(path)
    except OSError as error:
        log.warning("%s cannot be read and is left as it is: %s", path, first_line(error))
        return -math.inf
    scores = state.get("scores") if state else None
    if not isinstance(scores, dict) or not protocol.items() <= scores.items():
        return math.inf
    return scores.get(column, math.inf)


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
        with memory_errors():
            yield
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, OmegaConfBaseException) as error:
        raise ConfigError(
            f"the checkpoint in {folder} does not fit: it was made by another version of this project, or changed."
        ) from error


def check_same_settings(saved: str, current: str, is_data_known: bool = False) -> None:
    """Raise ConfigError if two configurations (YAML) would give different results.

    Args:
        is_data_known: whether the checkpoint says what its data was, so that it may have moved.
    """
    may_change = MAY_CHANGE | ({"dataset.path"} if is_data_known else set())
    changes = describe_changes(parse_config(saved), parse_config(current), may_change)
    if changes:
        raise ConfigError(f"a run can only be resumed with the settings it began with: {'; '.join(changes)}.")
