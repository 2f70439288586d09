"""How long the first commands take, and what a run spends on its folder."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.goals import HELP, ONE_STEP, WRITING
from benchmarks.tables import format_spread, print_header, print_row
from benchmarks.workers import ROOT


def time_start(common: tuple[str, ...], repeats: int) -> dict[str, float]:
    """Print how long the first commands take. Returns the seconds of each."""
    found: dict[str, float] = {}
    print("## Start, in seconds\n")
    print_header(["command", "seconds"])
    commands = {HELP: ["--help"], ONE_STEP: [*common, "train.max_steps=1"]}
    for label, arguments in commands.items():
        times = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "train.py", *arguments, f"hydra.run.dir={folder}/run"]
                start = time.perf_counter()
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ)
                times.append(time.perf_counter() - start)
        print_row([label, format_spread(times)])
        found[label] = statistics.median(times)
    print()
    return found


def time_writing(common: tuple[str, ...]) -> dict[str, float]:
    """Print the time that a default run spends on its folder. Returns its fraction in percent."""
    from benchmarks import timing
    from benchmarks.workers import compose_settings, make_step
    from gan.system import status
    from gan.training import build, checkpoint, outputs
    from gan.training.logger import RunLogger

    cfg, settings = compose_settings(common)
    run = build.build_run(cfg, settings, {})
    for _ in range(20):
        make_step(run)
    step_seconds = timing.median_seconds(lambda: make_step(run), 3.0)
    with (
        tempfile.TemporaryDirectory() as name,
        RunLogger(run, Path(name)) as logger,
    ):
        folder = Path(name)
        status.update(folder, state="running", error=None)
        writers = {
            "logging": (settings.watch.log_every, lambda: outputs.log_metrics(run, folder, logger)),
            "a grid": (settings.watch.samples_every, lambda: outputs.save_samples(run, folder, logger)),
            "a checkpoint": (settings.watch.checkpoint_every, lambda: checkpoint.save(folder, run.state_dict())),
        }
        print(f"## Writing, in a default run of {step_seconds * 1000:.1f} ms per step\n")
        print_header(["what", "milliseconds", "every N steps", "fraction of the time"])
        total = 0.0
        for label, (period, write) in writers.items():
            seconds = timing.median_seconds(write, 1.0)
            total += seconds / period / step_seconds
            print_row([label, f"{seconds * 1000:.1f}", str(period), f"{seconds / period / step_seconds:.2%}"])
        print_row(["all", "", "", f"{total:.2%}"])
    print()
    return {WRITING: 100 * total}
