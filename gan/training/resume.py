"""Resuming a run from its last checkpoint."""

import logging
import math
from pathlib import Path
from typing import Any

from gan.config.errors import ConfigError
from gan.data.summary import describe_changes
from gan.system import distributed, files, status
from gan.system.console import labeled, wrapped
from gan.training import checkpoint, outputs
from gan.training.logger import is_kept
from gan.training.state import TrainingRun

log = logging.getLogger(__name__)
MAX_NAMES = 3  # of files in a line


def resume(run: TrainingRun, folder: Path) -> None:
    """Load the last checkpoint.

    Raises ConfigError, and changes nothing, if the run cannot be resumed.
    """
    state = distributed.from_rank_zero(lambda: checkpoint.load(folder))
    with checkpoint.compatible_version(folder):
        checkpoint.check_same_settings(state["config"], run.config, "data" in state)
        if changes := describe_changes(state.get("data", run.data.record()), run.data.record()):
            raise ConfigError(
                f"resume={folder}: its data changed since it began: {'; '.join(changes)}. Put it back as it was"
                f"{' in ' + run.data.source if run.data.source else ''}, or start a new run."
            )
        run.load_state_dict(state)
    before = distributed.from_rank_zero(lambda: status.read(folder))
    if run.step >= run.total_steps and before["state"] == "finished":  # and was not killed before it had written all
        is_capped = run.total_steps == run.settings.train.max_steps
        longer = f"train.max_steps={run.step * 2}" if is_capped else f"train.epochs={2 * math.ceil(run.epoch)}"
        raise ConfigError(f"{folder} is finished after {run.step} of {run.total_steps} steps: resume with {longer}.")
    outputs.clear_way(folder)
    for line in describe_way_back(run, files.sample_grids(folder), before["step"]):
        log.info(line)
    status.update(folder, failures=[each for each in before["failures"] if is_failure_until(run.step, each)])


def describe_way_back(run: TrainingRun, grids: dict[int, Path], reached: int) -> list[str]:
    """Lines about what `run` had done since its checkpoint: steps to be made again, and sample grids to be removed.

    Args:
        grids: by their step.
        reached: the step in its status. A run that was killed may have later grids.
    """
    reached = max([reached, *grids])
    back = f"{reached - run.step:,} steps, to {run.step:,} from {reached:,}: they were not saved, and are made again"
    removed = [step for step in grids if not is_kept(run.step, run.is_sample_due, step)]
    names = [f"samples/{grids[step].name}" for step in removed]
    if len(names) > MAX_NAMES:
        names = [*names[: MAX_NAMES - 1], f"... and {names[-1]} ({len(names)} files)"]
    is_again = any(run.is_sample_due(step) and step <= run.total_steps for step in removed)
    again = "; drawn again when due" if is_again else ", which was drawn because the run ended there"
    lines = wrapped(labeled("goes back", back)) if reached > run.step else []
    return [*lines, *(wrapped(labeled("removes", ", ".join(names) + again)) if names else [])]


def is_failure_until(step: int, failure: Any) -> bool:
    """Whether an entry of status.json is a failure of training at `step` or before."""
    expected = {"step": int, "what": str}
    return (
        isinstance(failure, dict)
        and all(isinstance(failure.get(name), kind) for name, kind in expected.items())
        and failure["step"] <= step
    )
