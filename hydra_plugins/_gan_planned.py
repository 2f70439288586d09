"""What our launchers share: each job in a folder of its own, and a sweep that ends in order."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from gan.cli.sweeps import Job, Sweep

STOP_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


@contextlib.contextmanager
def on_signals(numbers: Sequence[int], handle: Callable[[int], Any]) -> Iterator[None]:
    """Call `handle` with the number of a signal that comes, unless it is ignored, as by nohup, or a run handles it."""
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda received, _: handle(received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class PlannedLauncher(Launcher):
    """Mixed into a launcher: chooses the folders of the jobs, and prints the sweep's table if a signal ends it."""

    hydra_context: Any

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        sweep = next(each for each in self.hydra_context.callbacks.callbacks if isinstance(each, Sweep))
        try:
            with on_signals(STOP_SIGNALS[1:], lambda number: sys.exit(128 + number)):  # Python has one for SIGINT
                jobs = sweep.plan(self.hydra_context.config_loader, job_overrides, initial_job_idx)
                return self.launch_jobs(jobs, initial_job_idx)
        except (SystemExit, KeyboardInterrupt):
            sweep.print_outcomes()
            raise

    def launch_jobs(self, jobs: list[Job], first: int) -> Sequence[JobReturn]:
        return super().launch([job.overrides for job in jobs], first)  # type: ignore[safe-super]
