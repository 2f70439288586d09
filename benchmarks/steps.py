"""The time of a step, beside the loop most tutorials write and beside the hardware, and where it goes."""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.goals import over_floor, over_loop
from benchmarks.tables import format_spread, print_header, print_row
from benchmarks.workers import Variant, Worker

if TYPE_CHECKING:  # so that --help is quick
    import torch

SETUPS = ["mlp", "paper_batchnorm_softlabel", "log_tanh", "conv", "dcgan_cifar10"]
OURS = {"fp32": [], "bf16": ["precision=bf16"], "compile": ["compile=true"]}
Key = TypeVar("Key", bound=Hashable)


def time_steps(
    setups: list[str], ours: dict[str, list[str]], common: tuple[str, ...], rounds: int, slice_seconds: float
) -> dict[str, float]:
    """Print the time per step of each set-up. Returns the numbers that have goals.

    Args:
        ours: overrides of our variants, by name.
    """
    found: dict[str, float] = {}
    print("## Milliseconds per step, and speed relative to the tutorial loop\n")
    columns = ["set-up", "tutorial loop", *ours, "floor fp32", "floor bf16"]
    columns += [f"tutorial / {name}" for name in ours] + ["fp32 / floor", "bf16 / floor"]
    print_header([*columns, "memory, MiB: tutorial, ours"])
    with color_images() as folder:
        for setup in setups:
            times, peaks = measure(make_variants(setup, ours, common, folder), rounds, slice_seconds)
            cells = [format_spread([1000 * seconds for seconds in of_variant]) for of_variant in times.values()]
            pairs = [("tutorial", name) for name in ours] + [("fp32", "floor fp32"), ("bf16", "floor bf16")]
            ratios = {pair: [a / b for a, b in zip(*(times[name] for name in pair), strict=True)] for pair in pairs}
            cells += map(format_spread, ratios.values())
            print_row([setup, *cells, f"{peaks['tutorial'] / 2**20:.0f}, {peaks['fp32'] / 2**20:.0f}"])
            found[over_floor(setup)] = statistics.median(ratios["fp32", "floor fp32"])
            found[over_loop(setup)] = statistics.median(ratios["tutorial", "fp32"])
    print()
    return found


def profile_steps(setups: list[str], common: tuple[str, ...], device: "torch.device", slice_seconds: float) -> None:
    """Print where the time of a step goes."""
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
