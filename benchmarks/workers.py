"""The variants that are compared, each in a process of its own that works only while it is measured."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # torch is imported in the workers
    from benchmarks.profiling import StepProfile
    from gan.training.state import TrainingRun

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Variant:
    """What a process measures.

    Args:
        kind: `tutorial` is the loop of benchmarks/tutorial.py, `ours` a step of this project, `floor` its arithmetic
            alone, `profile` the same step under the profiler, `flops` the FLOP of its products.
        overrides: of the configuration, as on train.py's command line.
        resized_from: side of the images before the tutorial loop resizes them one by one; None: they have their size.
    """

    kind: Literal["tutorial", "ours", "floor", "profile", "flops"]
    overrides: tuple[str, ...]
    resized_from: int | None = None


class Worker:
    """A process that has built everything for `variant`, and is idle unless it measures."""

    def __init__(self, variant: Variant, slice_seconds: float) -> None:
        context = multiprocessing.get_context("forkserver")  # so that imports take their time once
        context.set_forkserver_preload(["gan.training.build", "gan.training.loop", "benchmarks.tutorial"])
        self.pipe, far_end = context.Pipe()
        self.process = context.Process(target=serve, args=(far_end, variant, slice_seconds), daemon=True)
        self.process.start()
        far_end.close()
        self.pipe.recv()  # it is ready

    def measure(self) -> Any:
        """Seconds per step, over `slice_seconds`; for `profile`, these and the StepProfile; for `flops`, the FLOP."""
        self.start_measuring()
        return self.receive()

    def start_measuring(self) -> None:
        """Start what `measure` does, while this process goes on."""
        self.pipe.send("measure")

    def receive(self) -> Any:
        """The result of `start_measuring`."""
        return self.pipe.recv()

    def close(self) -> float:
        """End the process. Returns its peak memory in bytes."""
        self.pipe.send("close")
        peak = self.pipe.recv()
        self.process.join()
        return peak


def serve(pipe: Connection, variant: Variant, slice_seconds: float) -> None:
    """What the worker process runs."""
    from benchmarks import timing

    builders: dict[str, Callable[[Variant, float], Callable[[], Any]]]
    builders = {"tutorial": build_tutorial, "ours": build_ours, "floor": build_floor, "profile": build_profile}
    measure = (builders | {"flops": build_flops})[variant.kind](variant, slice_seconds)
    pipe.send("ready")
    while pipe.recv() != "close":
        timing.synchronize()
        pipe.send(measure())
    pipe.send(peak_bytes())


def peak_bytes() -> int:
    """Peak memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss begins with what the parent held
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compose_settings(overrides: tuple[str, ...]) -> tuple[Any, Any]:
    """The configuration, and its checked settings."""
    from hydra import compose, initialize_config_dir

    from gan.config import check

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=list(overrides))
    return cfg, check.check_config(cfg)


def build_run(variant: Variant) -> "TrainingRun":
    from gan.training import build

    return build.build_run(*compose_settings(variant.overrides), {})


def time_repeatedly(step: Callable[[], Any], slice_seconds: float) -> Callable[[], float]:
    """Warm up, and return a function that times as many steps as fill `slice_seconds`."""
    from benchmarks import timing

    seconds = timing.mean_seconds(step, 3)
    seconds = min(seconds, timing.mean_seconds(step, 3))
    steps = max(round(slice_seconds / seconds), 2)
    return lambda: timing.mean_seconds(step, steps)


def make_step(run: "TrainingRun") -> None:
    """A step as the training loop makes it between logging points."""
    from gan.training import loop

    run.metrics.add(loop.training_step(run))
    run.step += 1
    if run.ema:
        run.ema.update(run.step)


def build_ours(variant: Variant, slice_seconds: float) -> Callable[[], float]:
    run = build_run(variant)
    return time_repeatedly(lambda: make_step(run), slice_seconds)


def build_profile(variant: Variant, slice_seconds: float) -> Callable[[], tuple[float, "StepProfile"]]:
    from benchmarks.profiling import profile_step

    run = build_run(variant)
    measure = time_repeatedly(lambda: make_step(run), slice_seconds)
    return lambda: (
        seconds := measure(),
        profile_step(lambda: make_step(run), max(round(slice_seconds / seconds), 2)),
    )


def build_flops(variant: Variant, slice_seconds: float) -> Callable[[], int]:
    from benchmarks.profiling import count_flops

    run = build_run(variant)
    return lambda: count_flops(lambda: make_step(run))


def build_floor(variant: Variant, slice_seconds: float) -> Callable[[], float]:
    from benchmarks.floor import ProductCounter, copy_seconds, optimizer_bytes

    run = build_run(variant)
    make_step(run)
    with ProductCounter() as products:
        make_step(run)
    nbytes = sum(map(optimizer_bytes, run.players))
    min_seconds = slice_seconds / (len(products.calls) + 1)
    return lambda: products.seconds(min_seconds) + copy_seconds(nbytes, run.device, min_seconds)


def build_tutorial(variant: Variant, slice_seconds: float) -> Callable[[], float]:
    import torch
    from torch import nn

    from benchmarks.tutorial import ImageByImage, tutorial_loop
    from gan.models import layers
    from gan.system.device import select_device
    from gan.training import build

    cfg, settings = compose_settings(variant.overrides)
    device, train = select_device(settings.device), settings.train
    images = build.load_dataset(cfg, settings, "train")
    networks = build.build_networks(cfg, images.shape)
    generator, discriminator = (network.to(device) for network in networks)
    for network in networks:
        for module in network.modules():
            if isinstance(module, layers.Dropout):
                module.__class__ = nn.Dropout  # type: ignore[assignment]  # torch's own, its base class

    def make_optimizer(network: nn.Module, node: Any) -> torch.optim.Optimizer:
        arguments = {name: node[name] for name in ("lr", "momentum") if name in node}
        if "betas" in node:
            return torch.optim.Adam(network.parameters(), betas=tuple(node.betas), **arguments)
        return torch.optim.SGD(network.parameters(), **arguments)

    steps = tutorial_loop(
        (generator, discriminator),
        (make_optimizer(generator, cfg.optim.generator), make_optimizer(discriminator, cfg.optim.discriminator)),
        ImageByImage(
            images.resize(variant.resized_from).images,
            images.shape.size if variant.resized_from else None,
            networks[0].pixel_range,
        ),
        batch_size=train.batch_size,
        noise_dim=settings.noise.dim,
        update=train.update,
        reuse_fakes=train.reuse_fakes,
        device=device,
    )
    return time_repeatedly(lambda: next(steps), slice_seconds)
