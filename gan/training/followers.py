"""What follows a run from step to step, and says at its end what the run found: so far the path of a Dirac-GAN."""

from pathlib import Path
from typing import Any, Protocol

from gan.training import dirac_path
from gan.training.state import TrainingRun


class Follower(Protocol):
    """Keeps something of a run in each step, without waiting for the device."""

    name: str  # of its figure, and of its findings

    def keep(self, run: TrainingRun) -> None:
        """Keep what is wanted of the step that was just made."""

    def conclude(self, run: TrainingRun, path: Path) -> dict[str, Any]:
        """Write a figure as PNG, and return what was found, by name, as JSON has it. Neither without a step."""


def find_followers(run: TrainingRun) -> list[Follower]:
    """Those that have something to say of `run`."""
    followers = (dirac_path.follow(run),)
    return [follower for follower in followers if follower]
