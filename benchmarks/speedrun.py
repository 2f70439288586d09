"""Time to a good image: the seconds until a run on MNIST has an FID of 5.0, and of 2.0.

    python -m benchmarks.speedrun                            # experiment=speedrun, three seeds
    python -m benchmarks.speedrun train.batch_size=64        # the same with other settings
    python -m benchmarks.speedrun --loop 28 --minutes 30     # the loop of the DCGAN tutorial, on images of 28x28
    python -m benchmarks.speedrun --loop 64 --minutes 150    # and of 64x64, as published

The clock starts with the process, and stops when the first checkpoint with that FID is on the disk. Checkpoints are
scored after the run. Rules and results: docs/speedrun.md. Nothing else should run at the same time.

Prints Markdown. FID compares 10,000 generated images with the 10,000 test images, in the features of the MNIST
classifier that comes with this project: it is no Inception FID.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.workers import ROOT, compose_settings

if TYPE_CHECKING:  # so that --help is quick
    from torch import Tensor

THRESHOLDS = (5.0, 2.0)
SCORED_IMAGES = 10_000
POLL_SECONDS = 0.05


class Snapshot(NamedTuple):
    """A checkpoint, and the seconds after which it was on the disk."""

    seconds: float
    path: Path


class Result(NamedTuple):
    """What one seed gave: seconds and FID of each checkpoint, and the peak memory in bytes."""

    seed: int
    fids: list[tuple[float, float]]
    memory: int

    def seconds_to(self, threshold: float) -> float | None:
        """Until the first checkpoint with an FID of at most `threshold`; None: there was none."""
        return next((seconds for seconds, fid in self.fids if fid <= threshold), None)


class Scorer:
    """FID of checkpoints against the test images."""

    def __init__(self, overrides: tuple[str, ...]) -> None:
        import torch

        from gan.training import build

        cfg, settings = compose_settings((*overrides, "device=cpu"))
        self.device = torch.device("cpu")
        folders = Path(settings.data_dir), Path(settings.cache_dir)
        self.reference = build.build_reference(cfg, "test", "classifier", folders, self.device)

    def fid(self, images: "list[Tensor]") -> float:
        """FID of images uint8, in batches (B, C, H, W)."""
        from gan.metrics.moments import frechet_distance

        return frechet_distance(self.reference.feature_stats(images), self.reference.real_stats)

    def score_run(self, checkpoint: Path) -> float:
        """FID of the EMA of G in a checkpoint of train.py, which lies where the run left it."""
        from gan.metrics import protocol
        from gan.training import build

        run = build.load_trained(checkpoint.parent.parent, "last", ema=True, device=self.device)
        labels = protocol.draw_labels(self.reference.train, run.generator.class_count, SCORED_IMAGES, 0)
        images = protocol.generate_images(run.generator, run.noise, SCORED_IMAGES, 0, self.device, labels)
        return self.fid(list(images))

    def score_loop(self, checkpoint: Path) -> float:
        """FID of a generator that benchmarks.tutorial has saved, as tutorials sample it: with BatchNorm in training."""
        import torch

        from benchmarks import tutorial
        from gan import sampling
        from gan.data.datasets import ImageDataset

        state = torch.load(checkpoint, weights_only=True)
        generator, _ = tutorial.build_dcgan(state["side"])
        generator.load_state_dict(state["generator"])
        torch.manual_seed(0)
        batches = []
        with torch.no_grad():
            for points in torch.randn(SCORED_IMAGES, tutorial.NOISE_DIM).split(tutorial.BATCH_SIZE):
                images = ImageDataset(sampling.to_uint8(generator(points), (-1.0, 1.0)))
                batches.append(images.resize(self.reference.train.shape.size).images)
        return self.fid(batches)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speedrun", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="settings of train.py")
    parser.add_argument("--loop", type=int, choices=[28, 64], help="the tutorial's loop, with images of this side")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, help="end each run after so many minutes")
    parser.add_argument("--out", type=Path, help="write all FIDs to this JSON file too")
    args = parser.parse_args()

    from gan.system.device import describe_device, select_device

    overrides = ("experiment=speedrun", *args.overrides)
    scorer = Scorer(overrides)
    print(f"{describe_device(select_device('cpu'))}; features {scorer.reference.network.name}\n")
    print_row(["seed", *(f"seconds to FID {each:g}" for each in THRESHOLDS), "lowest FID", "seconds", "memory, MiB"])
    print_row(["---"] * (len(THRESHOLDS) + 4))
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        checkpoints = {seed: Path(name, str(seed), "run", "checkpoints", "last.pt") for seed in args.seeds}
        followed = {}
        for seed, last in checkpoints.items():  # all run before any is scored
            if args.loop:
                command = ["-m", "benchmarks.tutorial", f"--side={args.loop}", f"--seed={seed}", f"--out={last}"]
            else:
                command = ["train.py", *overrides, f"seed={seed}", f"hydra.run.dir={last.parent.parent}"]
            followed[seed] = follow(command, last, args.minutes)
        score = scorer.score_loop if args.loop else scorer.score_run
        for seed, (snapshots, memory) in followed.items():
            results.append(Result(seed, score_snapshots(snapshots, checkpoints[seed], score), memory))
            print_row(describe(results[-1]))
            if args.out:
                args.out.write_text(json.dumps([result._asdict() for result in results], indent=2) + "\n")
    print_row(["mean", *(describe_mean(results, each) for each in THRESHOLDS), "", "", ""])


def follow(command: list[str], last: Path, minutes: float | None) -> tuple[list[Snapshot], int]:
    """Run Python with `command`, which replaces the file `last` again and again. Keeps each of its versions.

    Returns these and the peak memory in bytes. Raises CalledProcessError if the command fails.
    """
    snapshots: list[Snapshot] = []
    seen, memory = None, 0
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        is_running = True
        while is_running:
            time.sleep(POLL_SECONDS)
            is_running = process.poll() is None  # first: what it wrote before its end is looked for once more
            seconds = time.perf_counter() - start
            memory = max(memory, peak_bytes(process.pid))
            if last.exists() and last.stat().st_ino != seen:
                seen = last.stat().st_ino
                snapshots.append(Snapshot(seconds, last.parent.parent.with_name(f"{len(snapshots)}.pt")))
                os.link(last, snapshots[-1].path)
            if minutes and is_running and seconds > 60 * minutes:
                process.terminate()
                process.wait()
                return snapshots, memory
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return snapshots, memory


def peak_bytes(process: int) -> int:
    """Peak memory of a running process; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{process}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


def score_snapshots(snapshots: list[Snapshot], last: Path, score: Callable[[Path], float]) -> list[tuple[float, float]]:
    """Seconds and FID of each. A checkpoint is read where it was written, as it belongs to the run around it."""
    fids = []
    for snapshot in snapshots:
        snapshot.path.replace(last)
        fids.append((snapshot.seconds, score(last)))
    return fids


def describe(result: Result) -> list[str]:
    """The cells of a row."""
    times = [result.seconds_to(each) for each in THRESHOLDS]
    end = result.fids[-1][0]
    cells = [f"more than {end:.0f}" if seconds is None else f"{seconds:.1f}" for seconds in times]
    return [
        str(result.seed),
        *cells,
        f"{min(fid for _, fid in result.fids):.2f}",
        f"{end:.0f}",
        f"{result.memory / 2**20:.0f}",
    ]


def describe_mean(results: list[Result], threshold: float) -> str:
    """Mean seconds over the seeds, with the spread; in how many of them, where not in all."""
    times = [seconds for result in results if (seconds := result.seconds_to(threshold)) is not None]
    if len(times) < len(results):
        return f"{len(times)} of {len(results)} seeds"
    return f"{statistics.mean(times):.1f} ({min(times):.1f} to {max(times):.1f})"


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
