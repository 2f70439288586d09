"""Training time: seconds of a run without those in which it did not train, and how many are to come."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from gan.system.console import format_seconds, labeled


class TrainingClock:
    """Seconds in which the process has trained, in the context of the clock.

    Not counted are pauses, such as scoring, and the time in which the process was stopped, by Ctrl-Z, SIGSTOP or a
    cluster that suspends its jobs. Of the step in which that happened only what came after it counts. On Linux and
    macOS the time in which the machine sleeps does not count either; on Windows it does.

    Args:
        seconds: before, in a run that is resumed.
    """

    def __init__(self, seconds: float) -> None:
        self.counted = seconds
        self.since: float | None = None  # when the time that is not counted yet began; None in a pause
        self.previous: Any = None  # handler of SIGCONT

    @property
    def seconds(self) -> float:
        return self.counted + (0.0 if self.since is None else time.perf_counter() - self.since)

    def begin_step(self) -> None:
        """Count the time until now. The first step begins the training."""
        now = time.perf_counter()
        if self.since is not None:
            self.counted += now - self.since
        self.since = now

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Do not count the time in this context."""
        self.begin_step()
        self.since = None
        try:
            yield
        finally:
            self.begin_step()

    def on_continue(self, number: int, frame: FrameType | None) -> None:
        """The process runs again after it was stopped: forget the time since its step began."""
        if self.since is not None:
            self.since = time.perf_counter()
        if callable(self.previous):
            self.previous(number, frame)

    def __enter__(self) -> "TrainingClock":
        if hasattr(signal, "SIGCONT") and threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGCONT, self.on_continue)
        return self

    def __exit__(self, *_: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGCONT, self.previous)


class Estimate:
    """How long the rest of a run takes, said once, after a few seconds of steady training, unless it ends then.

    What is done in the first second does not count: the first step compiles and allocates.
    """

    WARM_UP, MEASURED = 1.0, 4.0  # seconds

    def __init__(self, total_steps: int, images_per_step: int) -> None:
        self.total_steps, self.images_per_step = total_steps, images_per_step
        self.began: float | None = None
        self.start = 0, 0.0  # step and seconds from which it is measured
        self.is_known = False

    def say(self, step: int, seconds: float) -> str | None:
        """A line at the first step at which it is known, and None at all others; `seconds` is the training time."""
        if self.is_known:
            return None
        if self.began is None:
            self.began = seconds
        if seconds - self.began <= self.WARM_UP:
            self.start = step, seconds
        if seconds - self.start[1] < self.MEASURED:
            return None
        self.is_known = True
        speed, rest = (step - self.start[0]) / (seconds - self.start[1]), self.total_steps - step
        if rest < speed * self.MEASURED:
            return None
        return labeled(
            "estimate",
            f"{format_seconds(rest / speed)} for the other {rest:,} steps, at {speed:,.3g} steps and "
            f"{speed * self.images_per_step:,.0f} images a second",
        )
