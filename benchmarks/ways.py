"""The ways to make a step that are compared, each in a process of its own that works only when it is asked to."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Way:
    """What a process does when it is asked.

    Args:
        kind: `usual`, the loop of benchmarks/usual.py; `ours`; `floor`, the arithmetic of ours alone; or `shares`,
            ours under the profiler.
        overrides: of the configuration, as on train.py's command line.
        small: side of the images before the usual loop resizes them one by one; null if it need not.
    """

    kind: str
    overrides: tuple[str, ...]
    small: int | None = None


class Worker:
    """A process that has built everything for `way`. Only the one that is asked does anything."""

    def __init__(self, way: Way, slice_seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, way, slice_seconds), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()  # it is ready

    def measure(self) -> Any:
        """The seconds of a step, over a slice of time; of `shares`, those and where they go."""
        self.pipe.send("step")
        return self.pipe.recv()

    def close(self) -> float:
        """End it. Returns the most memory that it ever held, in bytes."""
        self.pipe.send("close")
        peak = self.pipe.recv()
        self.process.join()
        return peak


def serve(pipe: Connection, way: Way, slice_seconds: float) -> None:
    """The process's life."""
    from benchmarks import clock

    measure = {"usual": usual, "ours": ours, "floor": floor, "shares": shares}[way.kind](way, slice_seconds)
    pipe.send("ready")
    while pipe.recv() != "close":
        clock.wait_for_device()
        pipe.send(measure())
    pipe.send(peak_bytes())


def peak_bytes() -> int:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss begins with what the parent held
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def composed(overrides: tuple[str, ...]) -> tuple[Any, Any]:
    """The configuration, and its settings once checked."""
    from hydra import compose, initialize_config_dir

    from gan.config import check

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", overrides=list(overrides))
    return cfg, check.check_config(cfg)


def repeatedly(step: Callable[[], Any], slice_seconds: float) -> Callable[[], float]:
    """Warm up, and return what times as many steps as fill a slice."""
    from benchmarks import clock

    once = clock.seconds(step, 3)
    once = min(once, clock.seconds(step, 3))
    times = max(round(slice_seconds / once), 2)
    return lambda: clock.seconds(step, times)


def ours(way: Way, slice_seconds: float) -> Callable[[], float]:
    from gan.training import build

    run = build.build_run(*composed(way.overrides), {})
    return repeatedly(lambda: advance(run), slice_seconds)


def advance(run: Any) -> None:
    """A step as the loop makes it when nothing is written."""
    from gan.training import loop

    run.numbers.add(loop.update(run))
    run.step += 1
    if run.average:
        run.average.follow(run.step)


def shares(way: Way, slice_seconds: float) -> Callable[[], tuple[float, Any]]:
    from benchmarks.shares import look
    from gan.training import build

    run = build.build_run(*composed(way.overrides), {})
    seconds = repeatedly(lambda: advance(run), slice_seconds)
    return lambda: (once := seconds(), look(lambda: advance(run), max(round(slice_seconds / once), 2)))


def floor(way: Way, slice_seconds: float) -> Callable[[], float]:
    from benchmarks.floor import Arithmetic, copy_seconds, optimizer_bytes
    from gan.training import build

    run = build.build_run(*composed(way.overrides), {})
    advance(run)
    with Arithmetic() as arithmetic:
        advance(run)
    moved = sum(map(optimizer_bytes, run.players))
    least = slice_seconds / (len(arithmetic.calls) + 1)
    return lambda: arithmetic.seconds(least) + copy_seconds(moved, run.device, least)


def usual(way: Way, slice_seconds: float) -> Callable[[], float]:
    import torch
    from torch import nn

    from benchmarks.usual import PictureByPicture, usual_loop
    from gan.models import layers
    from gan.system.device import select_device
    from gan.training import build

    cfg, settings = composed(way.overrides)
    images, device, train = build.load_dataset(cfg, settings, "train"), select_device(settings.device), settings.train
    networks = [build.build_network(cfg, name, images.shape).to(device) for name in ("generator", "discriminator")]
    optimizers = []
    for network, node in zip(networks, (cfg.optim.generator, cfg.optim.discriminator), strict=True):
        for module in network.modules():
            if isinstance(module, layers.Dropout):
                module.__class__ = nn.Dropout  # torch's own
        make = torch.optim.Adam if "betas" in node else torch.optim.SGD
        given = {name: node[name] for name in ("lr", "momentum") if name in node}
        given |= {"betas": tuple(node.betas)} if "betas" in node else {}
        optimizers.append(make(network.parameters(), **given))
    size = images.shape.size if way.small else None
    shown = PictureByPicture(images.resize(way.small).images, size, networks[0].pixel_range)
    steps = usual_loop(
        *networks,
        optimizers,
        shown,
        train.batch_size,
        settings.noise.dim,
        train.update,
        train.reuse_fakes,
        device,
    )
    return repeatedly(lambda: next(steps), slice_seconds)
