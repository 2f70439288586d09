"""How the time of an image and memory grow with batch, width, side, dataset and runs: slopes on a log-log scale.

Time is compared with the FLOP of the matrix products and convolutions of an image, which are counted at each size.
"""

import statistics
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks.goals import doubled
from benchmarks.steps import measure
from benchmarks.tables import print_header, print_row
from benchmarks.workers import Variant, Worker

BATCH, IMAGES = 64, 4_000  # where they are not what grows
BEND = 0.25  # change of the slope from which on a bend is reported
LEAST_IMAGES = 100
LEAST_BYTES = 2**20  # memory above the start that is less counts as this much, as it has a logarithm
COLUMNS = ["by", "model", "sizes", "microseconds per image", "slope (of the work)", "bend"]
COLUMNS += ["memory, MiB", "slope (of the work)", "bend"]
MLP_WIDTHS = "model.generator.hidden=[{0},{1},{2}] model.discriminator.hidden=[{2},{1},{0}]"  # w, 2w, 4w


class Axis(NamedTuple):
    """What grows in a model.

    Args:
        overrides: of the configuration, with {0} for the size, {1} and {2} for two and four times as much.
        changes_work: whether it changes the work for an image.
        memory_exponent: of what a run has to hold; None: not measured.
    """

    name: str
    model: str
    sizes: list[int]
    overrides: str
    changes_work: bool
    memory_exponent: int | None


AXES = [
    Axis("batch", "mlp_plain", [16, 32, 64, 128, 256], "train.batch_size={0}", False, 1),
    Axis("batch", "dcgan", [16, 32, 64, 128, 256], "train.batch_size={0}", False, 1),
    Axis("width", "mlp_plain", [64, 128, 256, 512, 1024], MLP_WIDTHS, True, 2),
    Axis("width", "dcgan", [8, 16, 32, 64, 128], "model.generator.width={0} model.discriminator.width={0}", True, 2),
    Axis("side", "mlp_plain", [16, 32, 64, 128], "dataset.image_size={0}", True, 2),
    Axis("side", "dcgan", [16, 32, 64, 128], "dataset.image_size={0}", True, 2),
    Axis("images", "mlp_plain", [1_000, 4_000, 16_000, 64_000], "dataset.count={0}", False, 1),
    Axis("runs", "mlp_plain", [1, 2, 4, 8], "threads=1", False, None),
    Axis("runs", "dcgan", [1, 2, 4, 8], "threads=1", False, None),
]


class Growth(NamedTuple):
    """How a quantity grows: exponents, from lines through its logarithms.

    Args:
        slope: of one line.
        bend: the size at which the two lines meet that fit best; None where their slopes hardly differ.
        before, after: the slopes of the two lines.
    """

    slope: float
    bend: int | None
    before: float
    after: float

    @property
    def steepest(self) -> float:
        return self.slope if self.bend is None else max(self.before, self.after)

    def describe_bend(self) -> str:
        return "" if self.bend is None else f"{self.bend:,}: {self.before:z.2f}, then {self.after:z.2f}"


class Curve(NamedTuple):
    """What was measured along an axis at each of its sizes.

    Args:
        seconds: per image.
        work: FLOP per image, up to a factor.
        memory: in bytes; empty where it is not measured.
    """

    axis: Axis
    seconds: list[float]
    work: list[float]
    memory: list[float]


def fit_growth(sizes: list[int], values: list[float]) -> Growth:
    """The growth of positive `values`, of which there are four or more."""
    xs, ys = np.log(sizes), np.log(values)

    def fit(*columns: np.ndarray) -> tuple[np.ndarray, float]:
        matrix = np.stack([np.ones_like(xs), *columns], axis=1)
        found = np.linalg.lstsq(matrix, ys, rcond=None)[0]
        return found[1:], float(((matrix @ found - ys) ** 2).sum())

    (slope,), _ = fit(xs)
    two_lines = {at: fit(np.minimum(xs - xs[at], 0), np.maximum(xs - xs[at], 0)) for at in range(1, len(sizes) - 1)}
    at, ((before, after), _) = min(two_lines.items(), key=lambda item: item[1][1])
    bend = sizes[at] if abs(after - before) >= BEND else None
    return Growth(float(slope), bend, float(before), float(after))


def time_growth(common: tuple[str, ...], rounds: int, slice_seconds: float, axes: list[Axis]) -> list[Curve]:
    """Print how time and memory grow along `axes`. Returns the curves."""
    print(
        f"## Growth (fp32, with EMA; batches of {BATCH} from {IMAGES:,} images of 28x28, unless that is what grows)\n"
    )
    print_header(COLUMNS)
    least = (*common, "train.batch_size=2")
    for count in {LEAST_IMAGES, IMAGES, *(size for axis in axes if axis.name == "images" for size in axis.sizes)}:
        run_shortly((*least, f"dataset.count={count}"))  # draws the digits, which takes memory, and keeps them
    start = run_shortly((*least, f"dataset.count={LEAST_IMAGES}"))
    curves = []
    for axis in axes:
        curves.append(measure_axis(axis, common, rounds, slice_seconds, start))
        print_row(curve_row(curves[-1]))
    print()
    return curves


def run_shortly(overrides: tuple[str, ...]) -> float:
    """The peak memory in bytes of a process with next to no networks."""
    return Worker(make_variant(AXES[2], 1, overrides), 0.0).close()


def make_variant(axis: Axis, size: int, common: tuple[str, ...]) -> Variant:
    """What a process measures at a size."""
    fixed = [f"model={axis.model}", f"train.batch_size={BATCH}", f"dataset.count={IMAGES}"]
    return Variant("ours", (*fixed, *common, *axis.overrides.format(size, 2 * size, 4 * size).split()))


def measure_axis(axis: Axis, common: tuple[str, ...], rounds: int, slice_seconds: float, start_bytes: float) -> Curve:
    """Measure a model along an axis. Memory is what a process takes above `start_bytes`."""
    variants = {size: make_variant(axis, size, common) for size in axis.sizes}
    if axis.name == "runs":
        times = measure_runs(variants[1], axis.sizes, rounds, slice_seconds)
        return Curve(axis, [statistics.median(times[size]) / BATCH for size in axis.sizes], [1.0] * len(axis.sizes), [])
    work = [count_work(variant) if axis.changes_work else 1.0 for variant in variants.values()]
    times, peaks = measure(variants, rounds, slice_seconds)
    batches = {size: size if axis.name == "batch" else BATCH for size in axis.sizes}
    seconds = [statistics.median(times[size]) / batches[size] for size in axis.sizes]
    return Curve(axis, seconds, work, [max(peaks[size] - start_bytes, LEAST_BYTES) for size in axis.sizes])


def count_work(variant: Variant) -> float:
    """The FLOP of a step."""
    worker = Worker(replace(variant, kind="flops"), 0.0)
    flops = worker.measure()
    worker.close()
    return flops


def measure_runs(variant: Variant, counts: list[int], rounds: int, slice_seconds: float) -> dict[int, list[float]]:
    """Seconds per step in each round, of so many runs side by side whose steps all count."""
    workers = [Worker(variant, slice_seconds) for _ in range(max(counts))]
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            time.sleep(0.25)
            for worker in workers[:count]:
                worker.start_measuring()
            times[count].append(1 / sum(1 / worker.receive() for worker in workers[:count]))
    for worker in workers:
        worker.close()
    return times


def curve_row(curve: Curve) -> list[str]:
    """The cells of the table, which has COLUMNS."""
    axis = curve.axis
    time_grown = fit_growth(axis.sizes, curve.seconds)
    cells = [axis.name, axis.model, ", ".join(map(str, axis.sizes))]
    cells += [", ".join(f"{1e6 * seconds:.0f}" for seconds in curve.seconds)]
    cells += [f"{time_grown.slope:z.2f} ({fit_growth(axis.sizes, curve.work).slope:z.2f})", time_grown.describe_bend()]
    if axis.memory_exponent is None:
        return [*cells, "", "", ""]
    memory_grown = fit_growth(axis.sizes, curve.memory)
    cells += [", ".join(f"{size / 2**20:.0f}" for size in curve.memory)]
    return [*cells, f"{memory_grown.slope:z.2f} ({axis.memory_exponent})", memory_grown.describe_bend()]


def doubling_costs(curves: list[Curve]) -> dict[str, float]:
    """What twice the size multiplies a quantity by, relative to the work, where it grows most: by its goal's name."""
    found = {}
    for axis, seconds, work, memory in curves:
        relative = [time / flops for time, flops in zip(seconds, work, strict=True)]
        found[doubled("time", axis.model, axis.name)] = 2 ** fit_growth(axis.sizes, relative).steepest
        if axis.memory_exponent is not None:
            steepest = fit_growth(axis.sizes, memory).steepest
            found[doubled("memory", axis.model, axis.name)] = 2 ** (steepest - axis.memory_exponent)
    return found
