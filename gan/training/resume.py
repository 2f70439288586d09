"""Resuming a run from its last checkpoint."""

import math
from collections.abc import Callable
from pathlib import Path

from gan.config.errors import ConfigError
from gan.system import distributed, files, status
from gan.training import checkpoint
from gan.training.state import TrainingRun


def resume(run: TrainingRun, folder: Path) -> None:
    """Load the last checkpoint, and remove the samples that an uninterrupted run would not have written by then.

    Raises ConfigError, and changes nothing, if the run cannot be resumed.
    """
    files.remove_partial(folder)
    state = distributed.from_rank_zero(lambda: checkpoint.load(folder))
    with checkpoint.compatible_version(folder):
        checkpoint.check_same_settings(state["config"], run.config)
        run.load_state_dict(state)
    before = distributed.from_rank_zero(lambda: status.read(folder)["state"])
    if run.step >= run.total_steps and before == "finished":  # and was not killed before it had written everything
        is_capped = run.total_steps == run.settings.train.max_steps
        longer = f"train.max_steps={run.step * 2}" if is_capped else f"train.epochs={2 * math.ceil(run.epoch)}"
        raise ConfigError(f"{folder} is finished after {run.step} of {run.total_steps} steps: resume with {longer}.")
    failures = status.read(folder)["failures"]
    status.update(folder, failures=[failure for failure in failures if failure["step"] <= run.step])
    for path in (folder / "samples").glob("step_*.png"):
        if not is_kept(run.step, run.is_sample_due, int(path.stem.removeprefix("step_"))):
            path.unlink()


def is_kept(now: int, is_due: Callable[[int], bool], step: int) -> bool:
    """Whether an output of `step` would be there if the run had not been interrupted at `now`."""
    return step < now or (step == now and is_due(step))
