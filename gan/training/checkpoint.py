"""Saving a run's state whole, and reading it without running anybody's code."""

import contextlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan.config.errors import ConfigError
from gan.system import files
from gan.system.rank import RANK

log = logging.getLogger(__name__)


def path_in(folder: Path, which: str = "last") -> Path:
    """Where a run keeps its newest state (last), the one before (previous) or the one with the best score (best)."""
    return folder / "checkpoints" / f"{which}.pt"


def save(folder: Path, state: dict[str, Any], which: str = "last") -> None:
    """Put `state` (tensors, numbers, text, and dicts and lists of them) in the place of the one before.

    The one before last is kept until the next comes. Raises OSError where it cannot be written.
    """
    if RANK:  # of several processes the first one writes
        return
    with files.atomic_write(
        path_in(folder, which), keep=path_in(folder, "previous") if which == "last" else None
    ) as file:
        torch.save(state, file)


def load(folder: Path, which: str = "last") -> dict[str, Any]:
    """The state of the run in `folder`, on the CPU; where the last is damaged, the one before it.

    Raises ConfigError where there is none that can be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; it should be a run, such as outputs/2026-01-31_12-00-00.")
    path = path_in(folder, which)
    damaged = path.exists()
    for candidate in (path, path_in(folder, "previous")) if which == "last" else (path,):
        if state := read(candidate):
            if candidate != path:
                why = "is damaged" if damaged else "is missing"
                log.warning("%s %s: the one before it is taken, of step %d.", path, why, state["step"])
            return state
    if damaged:
        raise ConfigError(f"{path} is damaged or is no checkpoint of this project.")
    if which == "best" and path_in(folder).exists():
        raise ConfigError(f"{folder} holds no checkpoint of its best: watch.scores_every=... keeps one.")
    raise ConfigError(f"{folder} holds no checkpoint ({path.relative_to(folder)}): no run began there.")


def read(path: Path) -> dict[str, Any] | None:
    """What is in a checkpoint; None where it is missing, damaged or something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():  # torch itself does not look at the checksums
                return None
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a file with a few wrong bytes makes the readers raise nearly anything
        return None
    return state if isinstance(state, dict) and state.keys() >= {"config", "image", "step", "tricks"} else None


@contextlib.contextmanager
def compatible_version(folder: Path) -> Iterator[None]:
    """Around what puts a checkpoint to use: raises ConfigError where it is whole, but not of this version's making."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, OmegaConfBaseException) as error:
        raise ConfigError(
            f"the checkpoint in {folder} does not fit: another version of this project made it, or it was changed."
        ) from error


# Settings that a run may change on its way: they move numbers by rounding, say how far it goes or where it goes on.
FREE = {
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


def check_same_settings(saved: str, asked: str) -> None:
    """Raise ConfigError if two configurations (YAML text) would give different numbers."""
    before, after = flatten(OmegaConf.create(saved)), flatten(OmegaConf.create(asked))
    changes = [
        f"{name} was {before.get(name)} and is now {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not FREE & {name, name.split(".")[0]}
    ]
    if changes:
        raise ConfigError(f"this run cannot go on with other settings than it began with: {'; '.join(changes)}.")


def flatten(config: DictConfig) -> dict[str, Any]:
    """A nested configuration as {"train.batch_size": 64, ...}, with references resolved."""
    found = {}
    for name, value in OmegaConf.to_container(config, resolve=True).items():
        children = flatten(OmegaConf.create(value)) if isinstance(value, dict) else {"": value}
        found |= {f"{name}.{child}".rstrip("."): leaf for child, leaf in children.items()}
    return found
