"""Resuming a run from its last checkpoint."""

import math
from pathlib import Path
from typing import Any

from gan.config.errors import ConfigError
from gan.system import distributed, status
from gan.training import checkpoint, outputs
from gan.training.state import TrainingRun


def resume(run: TrainingRun, folder: Path) -> None:
    """Load the last checkpoint.

    Raises ConfigError, and changes nothing, if the run cannot be resumed.
    """
    state = distributed.from_rank_zero(lambda: checkpoint.load(folder))
    with checkpoint.compatible_version(folder):
        checkpoint.check_same_settings(state["config"], run.config)
        run.load_state_dict(state)
    before = distributed.from_rank_zero(lambda: status.read(folder)["state"])
    if run.step >= run.total_steps and before == "finished":  # and was not killed before it had written everything
        is_capped = run.total_steps == run.settings.train.max_steps
        longer = f"train.max_steps={run.step * 2}" if is_capped else f"train.epochs={2 * math.ceil(run.epoch)}"
        raise ConfigError(f"{folder} is finished after {run.step} of {run.total_steps} steps: resume with {longer}.")
    outputs.clear_way(folder)
    failures = status.read(folder)["failures"]
    status.update(folder, failures=[failure for failure in failures if is_failure_until(run.step, failure)])


def is_failure_until(step: int, failure: Any) -> bool:
    """Whether an entry of status.json is a failure of training at `step` or before."""
    expected = {"step": int, "what": str}
    return (
        isinstance(failure, dict)
        and all(isinstance(failure.get(name), kind) for name, kind in expected.items())
        and failure["step"] <= step
    )
