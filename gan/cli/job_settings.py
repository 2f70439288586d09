"""The run that a folder has: its resolved settings, and whether it is the job that is asked for. Imports no torch."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gan.cli.overrides import OPERATIONAL, parse_settings
from gan.config.comparison import describe_changes
from gan.config.errors import ConfigError
from gan.config.targets import drop_replaced_arguments
from gan.system import files, status

log = logging.getLogger(__name__)

MAX_CHANGES = 3  # that a sentence names


def drop_replaced(cfg: DictConfig, overrides: list[str]) -> None:
    """Drop what the command line replaced: numbers of an experiment's own tricks, arguments for another `_target_`."""
    typed = parse_settings(overrides)
    if "trick" in typed and isinstance(cfg.trick, DictConfig):
        chosen = typed["trick"] if isinstance(typed["trick"], list) else [typed["trick"]]
        with open_dict(cfg):
            for name, node in dict(cfg.trick).items():
                if name not in chosen and isinstance(node, DictConfig) and "_target_" not in node:
                    del cfg.trick[name]
    drop_replaced_arguments(cfg, typed)


def to_yaml(cfg: DictConfig) -> str:
    """A configuration as YAML with its references resolved; as it is where one cannot be, which ends the run."""
    try:
        return OmegaConf.to_yaml(cfg, resolve=True)
    except OmegaConfBaseException:
        return OmegaConf.to_yaml(cfg)


def read_settings(folder: Path) -> Any:
    """The resolved settings of the run in `folder`; None where it has none that can be read."""
    try:
        return files.read_yaml(folder / ".hydra" / "config.yaml")
    except (OSError, ValueError):
        return None


def describe_difference(folder: Path, settings: Any) -> str:
    """The first settings in which the run in `folder` differs from those of a job; empty where it has that job."""
    stored = read_settings(folder)
    if not isinstance(stored, dict):
        return "its .hydra/config.yaml cannot be read"
    found = describe_changes(stored, settings, OPERATIONAL)
    more = f"; and {len(found) - MAX_CHANGES} more" if len(found) > MAX_CHANGES else ""
    return "; ".join(found[:MAX_CHANGES]) + more


def is_unused(folder: Path) -> bool:
    """Whether no run in `folder` got as far as its settings or a checkpoint."""
    return not (folder / ".hydra" / "config.yaml").exists() and not (folder / "checkpoints").exists()


def is_done(outcome: dict[str, Any]) -> bool:
    """Whether a run has ended by itself: at its end, by diverging, or by trick=track_failures."""
    return outcome["state"] in ("finished", "diverged") or bool(outcome["state"] == "stopped" and outcome["error"])


def already_done(cfg: DictConfig, folder: Path, saved: bool) -> bool:
    """Whether this job of a sweep that is run again was done before. One that was interrupted is set to resume.

    Raises ConfigError if the run in `folder` is another one.

    Args:
        saved: whether it has a checkpoint.
    """
    if is_unused(folder):
        return False
    if changed := describe_difference(folder, files.parse_yaml(to_yaml(cfg))):
        raise ConfigError(f"{folder}: is left alone, since it contains another run: {changed}.")
    before = status.read(folder)
    if is_done(before) or (before["state"] == "failed" and not cfg.retry):
        hint = "; retry=true runs it again" if before["state"] == "failed" else ""
        log.info("skipped, since it has %s%s.", before["state"], hint)
        return True
    if saved:
        cfg.resume, cfg.trust = str(folder), True  # all of its settings were typed
    return False
