"""Kill runs at random moments, also while they write files, and check that nothing is lost.

    python -m tests.torture                # 100 kills, a few minutes
    python -m tests.torture --kills 1000 --seed 7

Each run is killed with SIGKILL and resumed until it finishes. It must then have the same weights, rows and images as an
uninterrupted run, bit for bit.
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
from tests.conftest import TINY, composed, weights

SETTINGS = [
    *TINY,
    "train.max_steps=40",
    "trick=[instance_noise,soft_labels,replay,track_failures]",
    "trick.replay.images=40",
    "watch.log_every=3",
    "watch.samples_every=7",
    "watch.checkpoint_every=5",
]


def train(folder: Path, cache: Path, fatal_rename: int | None) -> None:
    """Train in `folder`, from its checkpoint if there is one; kill this process at its `fatal_rename`-th file rename."""
    if fatal_rename is not None:
        renames, replace = Counter(), Path.replace

        def replace_or_die(path: Path, target: Path) -> Path:
            renames["files"] += 1
            if renames["files"] == fatal_rename:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(path, target)

        Path.replace = replace_or_die
    cfg = composed(*SETTINGS, f"cache_dir={cache}")
    run = build.build_run(cfg, check.check_config(cfg), {"model": "mlp"})
    try:
        checkpoint.load(folder)
    except ConfigError:  # it was killed before the first checkpoint
        pass
    else:
        resume_run(run, folder)
    loop.train(run, folder)


def train_in_child(folder: Path, cache: Path, seconds: float | None, fatal_rename: int | None) -> int:
    """`train` in a child, which is killed after `seconds`. Returns its exit code, -9 if it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            train(folder, cache, fatal_rename)
            code = 0
        finally:
            os._exit(code)
    timer = threading.Timer(seconds or 600, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    return os.waitstatus_to_exitcode(status)


def results(folder: Path) -> dict[str, object]:
    """Everything that must be equal in two runs: tensors, rows, images and the state of the tricks."""
    state = checkpoint.load(folder)
    tensors = weights(folder) | {
        f"optimizers.{i}.{parameter}.{name}": value
        for i, optimizer in enumerate(state["optimizers"])
        for parameter, values in optimizer["state"].items()
        for name, value in values.items()
    }
    rows = [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in files.read_rows(folder / "metrics.jsonl")
    ]
    images = {path.name: path.read_bytes() for path in sorted((folder / "samples").glob("*.png"))}
    return {"tensors": tensors, "rows": rows, "images": images, "tricks": repr(state["tricks"])}


def differences(expected: dict[str, object], actual: dict[str, object]) -> list[str]:
    """Which of the results differ."""
    a, b = expected["tensors"], actual["tensors"]
    tensors_equal = a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    different = [name for name in ("rows", "images", "tricks") if expected[name] != actual[name]]
    return different if tensors_equal else ["tensors", *different]


def torture(kills: int, seed: int, folder: Path) -> Counter:
    """Kill runs `kills` times in all. Returns counts of kills, resumes, runs, mismatches and broken files."""
    chance, counts = random.Random(seed), Counter()
    start = time.monotonic()
    if code := train_in_child(folder / "uninterrupted", folder / "cache", None, None):
        sys.exit(f"the uninterrupted run failed with exit code {code}.")
    duration, expected = time.monotonic() - start, results(folder / "uninterrupted")
    while counts["kills"] < kills:
        counts["runs"] += 1
        run = folder / f"run{counts['runs']}"
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            more = counts["kills"] < kills
            at_rename = more and chance.random() < 0.5
            seconds = chance.uniform(0, duration) if more and not at_rename else None
            code = train_in_child(run, folder / "cache", seconds, chance.randint(1, 25) if at_rename else None)
            if code == -signal.SIGKILL:
                counts["kills"] += 1
                counts["resumes"] += (run / "checkpoints").exists()
                counts["broken files"] += count_broken_files(run)
        if code:
            sys.exit(f"a resumed run failed with exit code {code}: see {run}.")
        if different := differences(expected, results(run)):
            counts["mismatches"] += 1
            print(f"{run}: different {', '.join(different)}")
    return counts


def count_broken_files(run: Path) -> int:
    """How many of the files that are written atomically cannot be read."""
    count = sum(checkpoint.read(path) is None for path in (run / "checkpoints").glob("*.pt"))
    if (run / "status.json").exists():
        try:
            json.loads((run / "status.json").read_text())
        except ValueError:
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = torture(args.kills, args.seed, Path(folder))
    print(", ".join(f"{counts[name]} {name}" for name in ("kills", "resumes", "runs", "mismatches", "broken files")))
    sys.exit(bool(counts["mismatches"] or counts["broken files"]))


if __name__ == "__main__":
    main()
