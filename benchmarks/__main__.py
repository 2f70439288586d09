"""Time the published set-ups against the loop most tutorials write and against the hardware.

    python -m benchmarks                # everything, about twenty minutes on two cores
    python -m benchmarks --quick        # two set-ups, coarsely, in a minute or two
    python -m benchmarks --setups mlp conv --parts steps
    python -m benchmarks --parts report # the page about 500 runs, in a few minutes

Prints Markdown. Nothing else should run at the same time. Ratios are taken between two measurements that follow each
other, and printed as the median of all rounds with the minimum and the maximum.
"""

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.workers import ROOT, Variant, Worker

if TYPE_CHECKING:  # so that --help is quick
    import torch

SETUPS = ["mlp", "paper_batchnorm_softlabel", "log_tanh", "conv", "dcgan_cifar10"]
PARTS = ["steps", "profile", "start", "writing", "sizes", "reading", "report"]
OURS = {"fp32": [], "bf16": ["precision=bf16"], "compile": ["compile=true"]}
Key = TypeVar("Key", bound=Hashable)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=SETUPS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:  # other defaults; what is typed counts
        parser.set_defaults(setups=["mlp", "log_tanh"], rounds=2, parts=["steps", "profile", "start", "writing"])
        args = parser.parse_args()
    ours = {name: overrides for name, overrides in OURS.items() if not (args.quick and name == "compile")}
    slice_seconds = 0.3 if args.quick else 1.0
    common = (f"device={args.device}", f"cache_dir={ROOT / 'data'}")

    from gan.system.device import describe_device, select_device

    device = select_device(args.device)
    print(f"{describe_device(device)}\n")
    if "steps" in args.parts:
        time_steps(args.setups, ours, common, args.rounds, slice_seconds)
    if "profile" in args.parts:
        profile_steps(args.setups, common, device, slice_seconds)
    if "start" in args.parts:
        time_start(common, 1 if args.quick else 5)
    if "writing" in args.parts:
        time_writing(common)
    if "sizes" in args.parts:
        time_sizes(common, args.rounds, slice_seconds)
    if "reading" in args.parts:
        time_reading(10_000 if args.quick else 100_000)
    if "report" in args.parts:
        time_report()


def time_steps(
    setups: list[str], ours: dict[str, list[str]], common: tuple[str, ...], rounds: int, slice_seconds: float
) -> None:
    """Print the time per step of each set-up. `ours` has overrides by name."""
    print("## Milliseconds per step, and speed relative to the tutorial loop\n")
    columns = ["set-up", "tutorial loop", *ours, "floor fp32", "floor bf16"]
    columns += [f"tutorial / {name}" for name in ours] + ["fp32 / floor", "bf16 / floor"]
    print_header([*columns, "memory, MiB: tutorial, ours"])
    with color_images() as folder:
        for setup in setups:
            times, peaks = measure(make_variants(setup, ours, common, folder), rounds, slice_seconds)
            cells = [format_spread([1000 * seconds for seconds in of_variant]) for of_variant in times.values()]
            pairs = [("tutorial", name) for name in ours] + [("fp32", "floor fp32"), ("bf16", "floor bf16")]
            cells += [format_spread([a / b for a, b in zip(times[x], times[y], strict=True)]) for x, y in pairs]
            print_row([setup, *cells, f"{peaks['tutorial'] / 2**20:.0f}, {peaks['fp32'] / 2**20:.0f}"])
    print()


def profile_steps(setups: list[str], common: tuple[str, ...], device: "torch.device", slice_seconds: float) -> None:
    """Print where the time of a step goes."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # torch's profiler complains where there is no GPU

    import torch

    from benchmarks.floor import copy_seconds
    from benchmarks.profiling import KINDS, REST, peak_flops

    peaks = {"fp32": peak_flops(torch.float32, device), "bf16": peak_flops(torch.bfloat16, device)}
    print("## Where the time of a step goes\n")
    rates = " and ".join(f"{peak / 1e9:.0f} GFLOP/s in {precision}" for precision, peak in peaks.items())
    copy_rate = 2**28 / copy_seconds(2**28, device, slice_seconds)
    print(f"Large products and convolutions reach {rates}. A copy reads and writes {copy_rate / 1e9:.0f} GB/s.\n")
    kinds = [*KINDS, REST]
    print_header(["set-up", "precision", "ms per step", "GFLOP", "ms at that rate", *kinds, "calls"])
    with color_images() as folder:
        for setup in setups:
            variants = make_variants(setup, OURS, common, folder)
            for precision, peak in peaks.items():
                worker = Worker(dataclasses.replace(variants[precision], kind="profile"), slice_seconds)
                seconds, profile = worker.measure()
                worker.close()
                numbers = [1000 * seconds, profile.flops / 1e9, 1000 * profile.flops / peak]
                cells = [
                    *(f"{number:.3g}" for number in numbers),
                    *(f"{profile.fractions[kind]:.0%}" for kind in kinds),
                ]
                print_row([setup, precision, *cells, f"{profile.calls:.0f}"])
    print()


def make_variants(
    setup: str, ours: dict[str, list[str]], common: tuple[str, ...], color_folder: Path
) -> dict[str, Variant]:
    """The variants of a set-up, by name. All train on drawn digits: a step's time does not depend on the images."""
    data, resized_from = ["dataset=digits"], None
    if setup == "dcgan_cifar10":
        data, resized_from = ["dataset=image_folder", f"dataset.path={color_folder}", "dataset.image_size=64"], 32
        common = (*common, f"cache_dir={color_folder.parent}")
    overrides = (f"experiment=blog/{setup}", *data, *common)
    variants = {"tutorial": Variant("tutorial", overrides, resized_from)}
    variants |= {name: Variant("ours", (*overrides, *extra)) for name, extra in ours.items()}
    return variants | {f"floor {name}": Variant("floor", (*overrides, *ours[name])) for name in ("fp32", "bf16")}


def measure(
    variants: dict[Key, Variant], rounds: int, slice_seconds: float
) -> tuple[dict[Key, list[float]], dict[Key, float]]:
    """Seconds per step of each variant in each round, taking turns, and the peak memory of each in bytes."""
    workers = {name: Worker(variant, slice_seconds) for name, variant in variants.items()}
    times: dict[Key, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, worker in workers.items():
            time.sleep(0.25)  # the threads of the last worker spin for a while
            times[name].append(worker.measure())
    return times, {name: worker.close() for name, worker in workers.items()}


def time_start(common: tuple[str, ...], repeats: int) -> None:
    """Print how long the first commands take."""
    print("## Start, in seconds\n")
    print_header(["command", "seconds"])
    commands = {
        "`python train.py --help`": ["--help"],
        "a run of one step, with its grids, figures and GIF": [*common, "train.max_steps=1"],
    }
    for label, arguments in commands.items():
        times = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "train.py", *arguments, f"hydra.run.dir={folder}/run"]
                start = time.perf_counter()
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ)
                times.append(time.perf_counter() - start)
        print_row([label, format_spread(times)])
    print()


def time_writing(common: tuple[str, ...]) -> None:
    """Print the time that a default run spends on its folder."""
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


def time_sizes(common: tuple[str, ...], rounds: int, slice_seconds: float) -> None:
    """Print how speed depends on batch size, image size and dataset size."""
    print("## Images per second, by size (fp32, with EMA)\n")
    print_header(["model", "batch", "side", "dataset size", "images per second", "memory, MiB"])
    count = 20_000
    groups = [[(model, batch, 28, count) for batch in (16, 32, 64, 128, 256)] for model in ("mlp_plain", "dcgan_wide")]
    groups += [[(model, 64, side, count) for side in (16, 32, 64)] for model in ("mlp_plain", "dcgan_wide")]
    groups += [[("mlp_plain", 64, 28, count) for count in (1_000, 20_000, 50_000)]]
    for group in groups:  # its sizes take turns
        variants = {}
        for model, batch, side, count in group:
            overrides = (f"model={model}", f"train.batch_size={batch}", f"dataset.image_size={side}", *common)
            variants[model, batch, side, count] = Variant("ours", (*overrides, f"dataset.count={count}"))
        times, peaks = measure(variants, rounds, slice_seconds)
        for (model, batch, side, count), of_size in times.items():
            speed = format_spread([batch / seconds for seconds in of_size])
            peak = peaks[model, batch, side, count] / 2**20
            print_row([model, str(batch), str(side), f"{count:,}", speed, f"{peak:.0f}"])
    print()


def time_report() -> None:
    """Print what a report about many runs costs, beside the limits that it should keep."""
    from benchmarks.report import RUNS, measure_costs

    print(f"## Report about {RUNS} runs, each of 200 logging points and 20 sample grids\n")
    print_header(["what", "measured", "limit"])
    for row in measure_costs():
        print_row(row)
    print()


@contextmanager
def color_images() -> Iterator[Path]:
    """A folder of 640 color images of 32x32: three drawn digits each, one per channel."""
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


def format_spread(numbers: list[float]) -> str:
    """Median, minimum and maximum."""
    median = statistics.median(numbers)
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    return f"{median:.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


def time_reading(count: int) -> None:
    """Print how fast own images are read, and the memory that large ones take."""
    from benchmarks.reading import COLUMNS, measure_reading

    print("## Own images, decoded\n")
    print_header(COLUMNS)
    for row in measure_reading(count):
        print_row(row)
    print()


def print_header(columns: list[str]) -> None:
    print_row(columns)
    print_row(["---"] * len(columns))


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
