"""How many runs an hour a sweep gets done, and what each costs beyond its steps."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.goals import BEYOND_STEPS
from benchmarks.tables import print_header, print_row
from benchmarks.workers import ROOT
from gan.system import status

RUNS, STEPS, ALONE = 16, 500, 3
MODELS = {
    "mlp_plain": ["model=mlp_plain", "train.batch_size=64"],
    "dcgan": ["model=dcgan", "train.batch_size=32"],
}
JOBLIB = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "threads=1"]
LAUNCHERS = {"a sweep, one after the other": (["-m"], 1), "a sweep, two at once with a thread each": (JOBLIB, 2)}


class Throughput(NamedTuple):
    """What some runs took.

    Args:
        seconds: from the start of the first process to the end of the last.
        step_seconds: of the steps of all runs, as in status.json.
        at_once: how many ran at the same time.
    """

    runs: int
    seconds: float
    step_seconds: float
    at_once: int

    @property
    def per_hour(self) -> float:
        return 3600 * self.runs / self.seconds

    @property
    def seconds_beyond(self) -> float:
        """Of a run, beyond its steps, while `at_once` of them share the time."""
        return (self.at_once * self.seconds - self.step_seconds) / self.runs


def time_sweeps(common: tuple[str, ...], runs: int, steps: int, alone: int) -> dict[str, float]:
    """Print the throughput of sweeps of `runs`, and of `alone` single commands. Returns the cost beyond the steps."""
    print(f"## Throughput: runs of {steps} steps on drawn digits\n")
    print_header(["model", "runs", "how", "runs an hour", "seconds of a run: its steps", "beyond them"])
    found: dict[str, float] = {}
    for model, overrides in MODELS.items():
        settings = [*overrides, f"train.max_steps={steps}", *common]
        run_commands([settings])  # draws the digits, if nobody has yet
        measured = {"a command each": run_commands([[*settings, f"seed={seed}"] for seed in range(alone)])}
        for label, (launcher, at_once) in LAUNCHERS.items():
            seeds = ",".join(map(str, range(runs)))
            measured[label] = run_commands([[*launcher, *settings, f"seed={seeds}"]], at_once)
        for label, took in measured.items():
            of_run = [f"{took.step_seconds / took.runs:.2f}", f"{took.seconds_beyond:.2f}"]
            print_row([model, str(took.runs), label, f"{took.per_hour:.0f}", *of_run])
        found[BEYOND_STEPS] = max(found.get(BEYOND_STEPS, 0.0), took.seconds_beyond)
    print()
    return found


def run_commands(commands: list[list[str]], at_once: int = 1) -> Throughput:
    """Run `python train.py` with each list of arguments, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        for number, arguments in enumerate(commands):
            place = [f"hydra.run.dir={name}/{number}", f"hydra.sweep.dir={name}/{number}"]
            command = [sys.executable, "train.py", *arguments, *place]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ)
        seconds = time.perf_counter() - start
        outcomes = [status.read(path.parent) for path in Path(name).rglob("status.json")]
    return Throughput(len(outcomes), seconds, sum(outcome["seconds"] for outcome in outcomes), at_once)
