"""Kill runs at random moments, also in the middle of writing a file, and see that nothing is lost.

    python -m tests.torture                # 100 kills, some minutes
    python -m tests.torture --kills 1000 --seed 7

Each run is killed with SIGKILL and taken up again, as often as it takes, until it ends. It must then have the weights,
the rows and the images of a run that nobody disturbed, to the bit.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import torch

from gan.config import check
from gan.config.errors import ConfigError
from gan.system import files
from gan.training import build, checkpoint, loop
from gan.training.resume import resume as resume_run
from tests.conftest import TINY, composed

STEPS = 40
SETTINGS = [
    *TINY,
    f"train.max_steps={STEPS}",
    "trick=[instance_noise,soft_labels,replay,track_failures,ema]",
    "trick.replay.images=40",
    "watch.log_every=3",
    "watch.samples_every=7",
    "watch.checkpoint_every=5",
]


def attempt(folder: Path, cache: Path, last_words: int | None) -> None:
    """In a child: train in `folder`, from its checkpoint if there is one; die at the so-manieth rename of a file."""
    if last_words is not None:
        renamed, replace = Counter(), Path.replace

        def dying(path: Path, target: Path) -> Path:
            renamed["files"] += 1
            if renamed["files"] == last_words:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(path, target)

        Path.replace = dying
    cfg = composed(*SETTINGS, f"cache_dir={cache}")
    run = build.build_run(cfg, check.check_config(cfg), {"model": "mlp"})
    try:
        checkpoint.load(folder)
    except ConfigError:  # it died before it had saved anything
        pass
    else:
        resume_run(run, folder)
    loop.train(run, folder)


def fork(folder: Path, cache: Path, seconds: float | None, last_words: int | None) -> int:
    """Make an attempt in a process of its own, killed after `seconds`. Returns its exit code, -9 if it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            attempt(folder, cache, last_words)
            code = 0
        finally:
            os._exit(code)
    timer = threading.Timer(seconds or 600, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    return os.waitstatus_to_exitcode(status)


def remains(folder: Path) -> dict[str, object]:
    """All that a run must have in common with another one: every tensor, row and image."""
    state = checkpoint.load(folder)
    tensors = {
        f"{part}.{name}": tensor
        for part in ("generator", "discriminator", "ema")
        for name, tensor in state[part].items()
    }
    tensors |= {
        f"optimizers.{i}.{k}.{name}": value
        for i, each in enumerate(state["optimizers"])
        for k, held in each["state"].items()
        for name, value in held.items()
    }
    rows = [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in files.read_rows(folder / "metrics.jsonl")
    ]
    images = {path.name: path.read_bytes() for path in sorted((folder / "samples").glob("*.png"))}
    return {"tensors": tensors, "rows": rows, "images": images, "tricks": repr(state["tricks"])}


def differences(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Which of them are not the same."""
    a, b = one["tensors"], other["tensors"]
    found = [] if a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) else ["tensors"]
    return found + [name for name in ("rows", "images", "tricks") if one[name] != other[name]]


def torture(kills: int, seed: int, folder: Path) -> Counter:
    """Kill so many times. Returns how many kills, resumes, runs, mismatches and broken files there were."""
    chance, counts = random.Random(seed), Counter()
    whole = folder / "whole"
    began = time.monotonic()
    if code := fork(whole, folder / "cache", None, None):
        sys.exit(f"the undisturbed run failed with exit code {code}.")
    duration, expected = time.monotonic() - began, remains(whole)
    while counts["kills"] < kills:
        counts["runs"] += 1
        run = folder / f"run{counts['runs']}"
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            left = counts["kills"] < kills
            amid_a_rename = left and chance.random() < 0.5
            seconds = chance.uniform(0, duration) if left and not amid_a_rename else None
            code = fork(run, folder / "cache", seconds, chance.randint(1, 25) if amid_a_rename else None)
            if code == -signal.SIGKILL:
                counts["kills"] += 1
                counts["resumes"] += (run / "checkpoints").exists()
                counts["broken files"] += broken(run)
        if code:
            sys.exit(f"a run failed with exit code {code} where it was taken up: see {run}.")
        if different := differences(expected, remains(run)):
            counts["mismatches"] += 1
            print(f"{run}: not the same: {', '.join(different)}")
    return counts


def broken(run: Path) -> int:
    """How many of the files that are whole or absent are neither."""
    found = 0
    if (run / "status.json").exists():
        try:
            json.loads((run / "status.json").read_text())
        except ValueError:
            found += 1
    for path in (run / "checkpoints").glob("*.pt"):
        found += checkpoint.read(path) is None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = torture(asked.kills, asked.seed, Path(folder))
    names = ("kills", "resumes", "runs", "mismatches", "broken files")
    print(", ".join(f"{counts[name]} {name}" for name in names))
    sys.exit(bool(counts["mismatches"] or counts["broken files"]))


if __name__ == "__main__":
    main()
