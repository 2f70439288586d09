"""Trackers of other projects, which get what the run logger writes: Weights & Biases and MLflow.

Each is imported only where it is asked for, and none of them is required.
"""

import importlib
import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gan.config.errors import ConfigError, first_line
from gan.config.schema import Watch
from gan.system import files
from gan.system.rank import RANK

if TYPE_CHECKING:
    from gan.training.state import TrainingRun

log = logging.getLogger(__name__)
PROJECT = "classic-gans"  # where the tracker's environment variable names no other
MLFLOW_STATES = {"finished": "FINISHED", "stopped": "KILLED"}


class Tracker(Protocol):
    """What a tracker does with numbers by name, with an image in a file, and with the state in which the run ends."""

    def log_numbers(self, numbers: dict[str, float], step: int) -> None: ...

    def log_image(self, name: str, path: Path, step: int) -> None: ...

    def end(self, state: str) -> None: ...


def read_id(run: "TrainingRun", folder: Path, tracker: str) -> str | None:
    """What a tracker calls the run that is resumed; None for a new one."""
    path = folder / f"{tracker}_run.txt"
    return files.read_text(path).strip() if run.step and path.exists() else None


def write_id(folder: Path, tracker: str, name: str) -> None:
    """Keep what a tracker calls the run, so that a resumed run is the same one there."""
    with files.atomic_write(folder / f"{tracker}_run.txt") as file:
        file.write(name.encode())


class Wandb:
    """Weights & Biases. Its environment variables count, such as WANDB_MODE=offline and WANDB_PROJECT.

    Its files are in ./wandb or WANDB_DIR: they have links that lead out of a run folder, where none may.
    """

    def __init__(self, run: "TrainingRun", folder: Path) -> None:
        self.wandb = importlib.import_module("wandb")
        self.run = self.wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.absolute().name,
            config=files.parse_yaml(run.config),
            id=read_id(run, folder, "wandb"),
            resume="allow",
        )
        write_id(folder, "wandb", self.run.id)

    def log_numbers(self, numbers: dict[str, float], step: int) -> None:
        self.run.log(numbers, step=step)

    def log_image(self, name: str, path: Path, step: int) -> None:
        self.run.log({name: self.wandb.Image(str(path))}, step=step)

    def end(self, state: str) -> None:
        self.run.summary["state"] = state
        self.run.finish(exit_code=0 if state in ("finished", "stopped") else 1)


class MLflow:
    """MLflow at the address `watch.mlflow`. MLFLOW_EXPERIMENT_NAME counts."""

    def __init__(self, run: "TrainingRun", folder: Path) -> None:
        self.mlflow = importlib.import_module("mlflow")
        self.mlflow.set_tracking_uri(run.settings.watch.mlflow)
        self.mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        earlier = read_id(run, folder, "mlflow")
        started = self.mlflow.start_run(run_id=earlier, run_name=None if earlier else folder.absolute().name)
        if not earlier:
            write_id(folder, "mlflow", started.info.run_id)
            self.mlflow.log_params(run.hparams)
            self.mlflow.log_text(run.config, "config.yaml")

    def log_numbers(self, numbers: dict[str, float], step: int) -> None:
        self.mlflow.log_metrics(numbers, step=step)

    def log_image(self, name: str, path: Path, step: int) -> None:
        self.mlflow.log_artifact(str(path), name)

    def end(self, state: str) -> None:
        self.mlflow.end_run(MLFLOW_STATES.get(state, "FAILED"))


KINDS: dict[str, Callable[["TrainingRun", Path], Tracker]] = {"wandb": Wandb, "mlflow": MLflow}  # by their settings


def check_trackers(watch: Watch) -> None:
    """Raise ConfigError where the package of a tracker that is asked for is not installed."""
    for name in KINDS:
        if (value := getattr(watch, name)) and importlib.util.find_spec(name) is None:
            raise ConfigError(f"watch.{name}={str(value).lower()}: needs the package {name}; type pip install {name}.")


class Trackers:
    """All trackers of a run. One that fails is left out from then on, with a warning: training goes on.

    Raises ConfigError for one that cannot start.
    """

    def __init__(self, run: "TrainingRun", folder: Path) -> None:
        self.started: dict[str, Tracker] = {}
        for name, start in KINDS.items() if RANK == 0 else ():
            if getattr(run.settings.watch, name):
                try:
                    self.started[name] = start(run, folder)
                except Exception as error:  # each tracker has kinds of its own
                    raise ConfigError(f"watch.{name}: it cannot start: {first_line(error)}.") from error

    def each(self, method: str, *arguments: Any) -> None:
        """Call the same method of each tracker."""
        for name, tracker in list(self.started.items()):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:  # each tracker has kinds of its own
                log.warning("watch.%s: nothing more is written there: %s", name, first_line(error))
                del self.started[name]
