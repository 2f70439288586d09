"""Time the published set-ups against the usual loop and against the machine.

    python -m benchmarks                # everything, about a quarter of an hour on two cores
    python -m benchmarks --quick        # two set-ups, coarsely, in a minute or two
    python -m benchmarks --setups mlp conv --parts steps

Prints Markdown. Nothing else should run meanwhile. A ratio is taken between two measurements that follow each other,
and printed as the median of all rounds with the least and the greatest.
"""

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ways import ROOT, Way, Worker

SETUPS = ["mlp", "paper_batchnorm_softlabel", "log_tanh", "conv", "dcgan_cifar10"]
PARTS = ["steps", "shares", "start", "writing", "sizes"]
OURS = {"fp32": [], "bf16": ["precision=bf16"], "compile": ["compile=true"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=SETUPS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if asked.quick:  # unless they are asked for otherwise
        parser.set_defaults(setups=["mlp", "log_tanh"], rounds=2, parts=["steps", "shares", "start", "writing"])
        asked = parser.parse_args()
    ours = {name: extra for name, extra in OURS.items() if not (asked.quick and name == "compile")}
    slice_seconds = 0.3 if asked.quick else 1.0
    common = (f"device={asked.device}", f"cache_dir={ROOT / 'data'}")

    from gan.system.device import describe_device, select_device  # here and not above, so that --help is quick

    print(f"{describe_device(select_device(asked.device))}\n")
    if "steps" in asked.parts:
        steps(asked.setups, ours, common, asked.rounds, slice_seconds)
    if "shares" in asked.parts:
        shares(asked.setups, common, select_device(asked.device), slice_seconds)
    if "start" in asked.parts:
        start(common, 1 if asked.quick else 5)
    if "writing" in asked.parts:
        writing(common)
    if "sizes" in asked.parts:
        sizes(common, asked.rounds, slice_seconds)


def steps(
    setups: list[str], ours: dict[str, list[str]], common: tuple[str, ...], rounds: int, slice_seconds: float
) -> None:
    """The table of the set-ups. `ours` has the overrides of each way of ours, by name."""
    print("## A step, in milliseconds, and how many times faster than the usual loop\n")
    header = ["set-up", "usual loop", *ours, "floor fp32", "floor bf16"]
    header += [f"usual / {name}" for name in ours] + ["fp32 / floor", "bf16 / floor", "memory, MiB: usual, ours"]
    row(header)
    row(["---"] * len(header))
    with colour_images() as folder:
        for setup in setups:
            times, peaks = measure(ways(setup, ours, common, folder), rounds, slice_seconds)
            cells = [spread([1000 * second for second in found]) for found in times.values()]
            pairs = [("usual", name) for name in ours] + [("fp32", "floor fp32"), ("bf16", "floor bf16")]
            cells += [spread([a / b for a, b in zip(times[x], times[y], strict=True)]) for x, y in pairs]
            row([setup, *cells, f"{peaks['usual'] / 2**20:.0f}, {peaks['fp32'] / 2**20:.0f}"])
    print()


def shares(setups: list[str], common: tuple[str, ...], device: Any, slice_seconds: float) -> None:
    """Where the time of our step goes."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # torch's profiler complains where there is no GPU

    import torch

    from benchmarks.floor import copy_seconds
    from benchmarks.shares import KINDS, REST, best_rate

    rates = {"fp32": best_rate(torch.float32, device), "bf16": best_rate(torch.bfloat16, device)}
    print("## Where the time of our step goes\n")
    large = " and ".join(f"{rate / 1e9:.0f} in {precision}" for precision, rate in rates.items())
    copied = 2**28 / copy_seconds(2**28, device, slice_seconds)
    print(f"Large products and convolutions make {large}, in 10^9 operations a second.")
    print(f"A copy reads and writes {copied / 1e9:.0f} GB a second.\n")
    kinds = [*KINDS, REST]
    row(["set-up", "precision", "ms a step", "10^9 operations", "ms at that rate", *kinds, "calls"])
    row(["---"] * (len(kinds) + 6))
    with colour_images() as folder:
        for setup in setups:
            for precision, rate in rates.items():
                way = ways(setup, OURS, common, folder)[precision]
                worker = Worker(dataclasses.replace(way, kind="shares"), slice_seconds)
                seconds, found = worker.measure()
                worker.close()
                amounts = [found.operations / 1e9, 1000 * found.operations / rate]
                cells = [f"{1000 * seconds:.3g}", *(f"{amount:.3g}" for amount in amounts)]
                cells += [f"{found.kinds[kind]:.0%}" for kind in kinds]
                row([setup, precision, *cells, f"{found.calls:.0f}"])
    print()


def ways(setup: str, ours: dict[str, list[str]], common: tuple[str, ...], colour: Path) -> dict[str, Way]:
    """What is compared for a set-up. Its images are drawn digits: a step's time does not depend on them."""
    data, small = ["dataset=digits"], None
    if setup == "dcgan_cifar10":
        data, small = ["dataset=image_folder", f"dataset.path={colour}", "dataset.image_size=64"], 32
        common = (*common, f"cache_dir={colour.parent}")
    overrides = (f"experiment=blog/{setup}", *data, *common)
    found = {"usual": Way("usual", overrides, small)}
    found |= {name: Way("ours", (*overrides, *extra)) for name, extra in ours.items()}
    return found | {f"floor {name}": Way("floor", (*overrides, *ours[name])) for name in ("fp32", "bf16")}


def measure(
    compared: dict[Any, Way], rounds: int, slice_seconds: float
) -> tuple[dict[Any, list[float]], dict[Any, float]]:
    """Seconds a step of each way in each round, taking turns, and each one's greatest memory in bytes."""
    workers = {name: Worker(way, slice_seconds) for name, way in compared.items()}
    times = {name: [] for name in compared}
    for _ in range(rounds):
        for name, worker in workers.items():
            time.sleep(0.25)  # the threads of the one before spin for a while
            times[name].append(worker.measure())
    return times, {name: worker.close() for name, worker in workers.items()}


def start(common: tuple[str, ...], times: int) -> None:
    """How long a newcomer waits."""
    print("## Start, in seconds\n")
    row(["what", "seconds"])
    row(["---", "---"])
    lines = {
        "`python train.py --help`": ["--help"],
        "a run of one step, with its grids, figures and film": [*common, "train.max_steps=1"],
    }
    for what, arguments in lines.items():
        found = []
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                line = [sys.executable, "train.py", *arguments, f"hydra.run.dir={folder}/run"]
                began = time.perf_counter()
                subprocess.run(line, cwd=ROOT, check=True, capture_output=True, env=os.environ)
                found.append(time.perf_counter() - began)
        row([what, spread(found)])
    print()


def writing(common: tuple[str, ...]) -> None:
    """What a run with all defaults spends on its folder."""
    from benchmarks import clock
    from benchmarks.ways import advance, composed
    from gan.system import status
    from gan.training import build, checkpoint, loop
    from gan.training.logger import RunLogger

    cfg, settings = composed(common)
    run = build.build_run(cfg, settings, {})
    for _ in range(20):
        advance(run)
    step = clock.median_seconds(lambda: advance(run), 3.0)
    with tempfile.TemporaryDirectory() as name, RunLogger(Path(name), 0, run.total, run.log_due, run.score_due) as book:
        folder = Path(name)
        status.update(folder, state="running", error=None)
        costs = {
            "numbers": (settings.watch.log_every, lambda: loop.record(run, folder, book)),
            "a grid": (settings.watch.samples_every, lambda: loop.save_samples(run, folder, book)),
            "a checkpoint": (settings.watch.checkpoint_every, lambda: checkpoint.save(folder, run.state())),
        }
        print(f"## Writing, in a run with the defaults, whose step takes {step * 1000:.1f} ms\n")
        row(["what", "milliseconds", "every so many steps", "share of the time"])
        row(["---"] * 4)
        total = 0.0
        for what, (period, write) in costs.items():
            cost = clock.median_seconds(write, 1.0)
            total += cost / period / step
            row([what, f"{cost * 1000:.1f}", str(period), f"{cost / period / step:.2%}"])
        row(["all", "", "", f"{total:.2%}"])
    print()


def sizes(common: tuple[str, ...], rounds: int, slice_seconds: float) -> None:
    """How a step's cost grows."""
    print("## ImageDataset a second, by size (fp32, `trick=[ema]`)\n")
    row(["model", "batch", "side", "images in the set", "images a second", "memory, MiB"])
    row(["---"] * 6)
    count = 20_000
    groups = [[(model, batch, 28, count) for batch in (16, 32, 64, 128, 256)] for model in ("mlp", "dcgan")]
    groups += [[(model, 64, side, count) for side in (16, 32, 64)] for model in ("mlp", "dcgan")]
    groups += [[("mlp", 64, 28, count) for count in (1_000, 20_000, 50_000)]]
    for group in groups:  # what is compared takes turns
        compared = {}
        for model, batch, side, count in group:
            overrides = (f"model={model}", f"train.batch_size={batch}", f"dataset.image_size={side}", *common)
            compared[model, batch, side, count] = Way("ours", (*overrides, f"dataset.count={count}"))
        times, peaks = measure(compared, rounds, slice_seconds)
        for (model, batch, side, count), found in times.items():
            speed = spread([batch / second for second in found])
            peak = peaks[model, batch, side, count] / 2**20
            row([model, str(batch), str(side), f"{count:,}", speed, f"{peak:.0f}"])
    print()


@contextmanager
def colour_images() -> Iterator[Path]:
    """A folder of 640 colour images of 32x32: three drawn digits each, one for each colour."""
    from torchvision.utils import save_image

    from gan.data.datasets import ImageDataset
    from gan.data.digits import draw_digits

    images = ImageDataset(draw_digits(1920, seed=0, split="train")[0]).resize(32).images
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "images"
        folder.mkdir()
        for number, image in enumerate(images.view(640, 3, 32, 32)):
            save_image(image / 255, folder / f"{number}.png")
        yield folder


def spread(numbers: list[float]) -> str:
    """Median, least and greatest."""
    middle = statistics.median(numbers)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


def row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
