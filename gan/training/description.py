"""A run in a few lines for its reader: what trains on what, and how far it is."""

import shlex
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gan.config.errors import printable
from gan.data.summary import describe_classes, describe_images, describe_skipped
from gan.models.layers import has_batch_norm
from gan.player import Player
from gan.system import files
from gan.system.console import labeled, wrapped
from gan.system.device import describe_device
from gan.system.rank import WORLD_SIZE
from gan.training.checkpoint import parse_config
from gan.training.logger import summarize
from gan.training.state import TrainingRun


def describe_run(run: TrainingRun, folder: Path) -> list[str]:
    """The first lines of a run: device, data, networks, optimizers, loss, tricks, length, and how to watch it."""
    config, players = parse_config(run.config), run.players
    parts = {
        "device": describe_machine(run),
        "data": describe_data(run, config["dataset"]),
        "classes": describe_classes(run.data),
        "generator": describe_player(config, "generator", players.generator),
        "discriminator": describe_player(config, "discriminator", players.discriminator),
        "loss": describe_loss(run, config),
        "steps": describe_length(run),
        "accumulate": describe_accumulation(run, config),
    }
    lines = [line for label, text in parts.items() if text for line in wrapped(labeled(label, text))]
    return [*lines, labeled("curves", f"tensorboard --logdir {shlex.quote(files.relative_path(folder.parent))}")]


def describe_machine(run: TrainingRun) -> str:
    """Device, precision, threads and versions."""
    processes = f"{WORLD_SIZE} processes, " if WORLD_SIZE > 1 else ""
    compiled = "; compile=true: the first step takes a minute or more" if run.settings.compile else ""
    graphs = "; CUDA graphs" if run.graphs else ""
    if run.device.type == "cuda" and run.settings.cuda_graphs is None and not run.graphs and WORLD_SIZE == 1:
        graphs = "; no CUDA graphs, as it has code of yours: see cuda_graphs in docs/usage.md"
    return f"{processes}{run.device.type}, {run.settings.precision}: {describe_device(run.device)}{graphs}{compiled}"


def describe_data(run: TrainingRun, node: dict[str, Any]) -> str:
    """Name and source of the real images, their number, shape and values, and what was skipped."""
    data = run.data
    limit = " (dataset.limit)" if node.get("limit") == data.count else ""
    images = describe_images(data, run.generator.pixel_range).replace(" images", f" images{limit}", 1)
    source = f" from {printable(data.source)}" if data.source else ""
    skipped = describe_skipped(data)
    return f"{data.name}{source}: {images}{f'; skipped: {skipped}' if skipped else ''}"


def describe_player(config: dict[str, Any], name: str, player: Player) -> str:
    """A network with the number of its parameters, and its optimizer with what it was set to."""
    network, optimizer = config["model"][name], config["optim"][name]
    count = sum(weight.numel() for weight in player.network.parameters())
    options = [f"{key} {value}" for key, value in optimizer.items() if value and key not in ("_target_", "eps")]
    schedule = [f"scheduled {', '.join(config['optim']['schedule'])}"] if config["optim"]["schedule"] else []
    return (
        f"{network['_target_'].removeprefix('gan.models.')}, {count:,} parameters; "
        f"{', '.join([optimizer['_target_'].removeprefix('gan.optim.'), *options, *schedule])}"
    )


def describe_loss(run: TrainingRun, config: dict[str, Any]) -> str:
    """Loss, tricks and EMA."""
    tricks = f"tricks {', '.join(config['trick'])}" if config["trick"] else "no tricks"
    decays = ", ".join(str(ema.decay) for ema in run.emas)
    return f"{type(run.loss).__name__}; {tricks}; {f'EMA of G {decays}' if decays else 'no EMA'}"


def describe_length(run: TrainingRun) -> str:
    """The steps to make, and which limit ends them where there are two."""
    train, in_epochs = run.settings.train, run.steps_of_epochs
    epochs = run.total_steps * run.batches_per_step / run.batches.per_epoch
    reason = ""
    if train.max_steps and in_epochs:
        limits = {train.max_steps: f"train.max_steps={train.max_steps}", in_epochs: f"train.epochs={train.epochs}"}
        *later, first = (limits[steps] for steps in sorted(limits, reverse=True))
        reason = f": {' ends before '.join([first, *later])}"
    start = f"{run.step:,} to " if run.step else ""
    kind = "points" if run.generator.pixel_range is None else "images"
    updates = f" and {train.discriminator_steps} updates of D" if train.discriminator_steps > 1 else ""
    size = f"{train.accumulate} x {train.batch_size}" if train.accumulate > 1 else train.batch_size
    return f"{start}{run.total_steps:,} of {size} {kind}{updates}, {epochs:.4g} epochs{reason}"


def describe_accumulation(run: TrainingRun, config: dict[str, Any]) -> str:
    """What is not as with one large batch where train.accumulate makes several of it; empty where all is."""
    train = run.settings.train
    names = [name for name, node in config["trick"].items() if "_target_" in node]
    networks = {"G": run.players.generator.network, "D": run.players.discriminator.network}
    parts = [f"BatchNorm in {name}" for name, network in networks.items() if has_batch_norm(network)]
    parts += [name for name, trick in zip(names, run.tricks.tricks, strict=True) if trick.needs_whole_batch]
    if train.accumulate == 1 or not parts:
        return ""
    sees, images = "sees" if len(parts) == 1 else "see", train.accumulate * train.batch_size
    return f"{', '.join(parts)} {sees} {train.batch_size} images at a time, and not {images}"


def describe_progress(run: TrainingRun, metrics: dict[str, float]) -> str:
    """A logging point on a line: step, epoch, losses, D(x), D(G(z)), [training time so far<time left]."""
    total = run.total_steps
    numbers = "  ".join(f"{label} {value}" for label, value in summarize(metrics, "{:.3f}").items())
    seconds = (total - run.step) * run.images_per_step / run.images_per_second if run.images_per_second else 0
    times = "<".join(map(tqdm.format_interval, (run.seconds, seconds)))  # as in the progress bar
    return f"step {run.step:{len(str(total))}}/{total}  epoch {run.epoch:.2f}  {numbers}  [{times}]"
