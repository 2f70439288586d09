"""From a configuration that was checked to the objects that train."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gan.config import targets
from gan.config.errors import ConfigError
from gan.config.schema import Settings
from gan.data.datasets import Batches, ImageDataset, scaled
from gan.data.image_shape import ImageShape
from gan.metrics import protocol
from gan.models import layers
from gan.noise import Noise
from gan.player import NonFiniteGuard, Player, Players
from gan.system import distributed, randomness, rank
from gan.system.device import flush_denormals, keep_freed_memory, select_device, warn_if_bf16_is_slow
from gan.training import checkpoint
from gan.training.compatibility import refuse_data, refuse_lonely, refuse_slopes, separated
from gan.training.ema import EMA
from gan.training.logger import MetricAccumulator
from gan.training.state import TrainingRun
from gan.tricks.base import TrickContext, Tricks


def build_run(cfg: DictConfig, settings: Settings, choices: dict[str, Any]) -> TrainingRun:
    """Data first, then the networks that fit it, then what moves them. Raises ConfigError for what cannot be."""
    device = select_device(settings.device)
    train = settings.train
    if settings.threads:
        torch.set_num_threads(settings.threads)
    flush_denormals()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, which convolutions there use anyway
        torch.backends.cudnn.deterministic = True
    if settings.precision == "bf16":
        warn_if_bf16_is_slow(device)
    loss, tricks = instantiate_node(cfg.loss), build_tricks(cfg)
    refuse_slopes(loss, tricks)
    refuse_parts(cfg, settings)
    with distributed.rank_zero_first():
        images = load_dataset(cfg, settings, "train")
    refuse_data(settings, images)
    image, has_classes = images.shape, tricks.uses_labels
    tricks.check(TrickContext(image, train, settings.watch, loss, has_classes, tricks.images_per_logit))
    keep_freed_memory()
    networks = [build_network(cfg, name, image) for name in ("generator", "discriminator")]
    if networks[0].starts_from_mean:
        sums = sum(part.sum(0, dtype=torch.int64) for part in images.images.split(4096))
        networks[0].start_from(scaled(sums / len(images), networks[0].pixel_range))
    refuse_lonely(networks, train.batch_size, tricks.images_per_logit)
    separate = separated(train.separate_batches, tricks.mixes_images or layers.mixes_images(networks[1]))
    randomness.reseed(torch.device("cpu"), settings.seed, "tricks")
    tricks.prepare_generator(networks[0], image)
    tricks.prepare_discriminator(networks[1], image)
    for each in networks:
        distributed.sync_batch_norm(each)
    brake = NonFiniteGuard(device)
    generator = build_player(cfg, "generator", networks[0], settings, device, brake, None)
    discriminator = build_player(cfg, "discriminator", networks[1], settings, device, brake, tricks.constrain)
    decay, judges = train.ema_decay, None
    if settings.watch.scores_every:
        with distributed.rank_zero_first():
            judges = build_reference(cfg, None, "own", (Path(settings.data_dir), Path(settings.cache_dir)), device)
    return TrainingRun(
        settings=settings,
        config=OmegaConf.to_yaml(cfg, resolve=True),
        choices=choices,
        device=device,
        batches=Batches(
            images if has_classes else replace(images, labels=None),
            train.batch_size,
            settings.seed,
            device,
            distributed.local_slice(train.batch_size),
        ),
        shape=image,
        players=Players(generator, discriminator, separate),
        ema=None if decay is None else EMA(generator.network, decay),
        loss=loss,
        tricks=tricks,
        noise=build_noise(cfg),
        numbers=MetricAccumulator(settings.watch.log_mean),
        reference=judges,
    )


def build_tricks(cfg: DictConfig) -> Tricks:
    """Those of the chosen tricks that are code."""
    return Tricks([instantiate_node(node) for node in cfg.trick.values() if "_target_" in node])


def refuse_parts(cfg: DictConfig, settings: Settings) -> None:
    """Raise ConfigError for what several processes, each with a part of the batch, cannot do yet."""
    if rank.WORLD_SIZE == 1:
        return
    wanting = [
        name for name, node in cfg.trick.items() if "_target_" in node and instantiate_node(node).needs_whole_batch
    ]
    if wanting:
        raise ConfigError(
            f"trick=[{','.join(wanting)}] is not possible with several processes: each sees a part of a batch, and "
            "that wants all of it."
        )
    if settings.compile:
        raise ConfigError("compile=true is not possible with several processes: it should be false.")


def load_dataset(cfg: DictConfig, settings: Settings, split: str) -> ImageDataset:
    """The images of a split."""
    return instantiate_node(
        cfg.dataset,
        data_dir=Path(settings.data_dir),
        cache_dir=Path(settings.cache_dir),
        split=split,
    )


def build_noise(cfg: DictConfig) -> Noise:
    return Noise(cfg.noise.kind, cfg.noise.dim)


def build_network(cfg: DictConfig, name: str, image: ImageShape) -> nn.Module:
    """The generator or the discriminator, on the CPU. Its weights depend on the seed and its own name alone."""
    given = (image, cfg.noise.dim) if name == "generator" else (image,)
    randomness.reseed(torch.device("cpu"), cfg.seed, name)
    return instantiate_node(cfg.model[name], *given)


def build_player(
    cfg: DictConfig,
    name: str,
    network: nn.Module,
    settings: Settings,
    device: torch.device,
    brake: NonFiniteGuard,
    constrain: Callable[[list[Tensor]], None] | None,
) -> Player:
    """The network on its device, and its optimiser."""
    network.to(device, memory_format=torch.channels_last)  # what convolutions like best
    optimizer = instantiate_node(cfg.optim[name], [weight for weight in network.parameters() if weight.requires_grad])
    if not optimizer.defaults.get("fused"):  # no other heeds the brake
        raise ConfigError(
            f"optim.{name} should be fused: gan.optim.adam, gan.optim.sgd, or one of torch.optim with "
            f"+optim.{name}.fused=true."
        )
    schedule = {number: instantiate_node(node) for number, node in cfg.optim.schedule.items()}
    known = [number for number, value in optimizer.defaults.items() if type(value) in (int, float)]
    if unknown := schedule.keys() - set(known):
        raise ConfigError(
            f"optim.schedule.{min(unknown)} is not a number of the {name}'s optimiser, which has {', '.join(known)}."
        )
    return Player(network, optimizer, schedule, brake, settings.precision, settings.compile, constrain)


@dataclass(frozen=True)
class TrainedRun:
    """What a checkpoint holds to draw and to judge with."""

    cfg: DictConfig
    step: int
    generator: nn.Module
    discriminator: nn.Module
    noise: Noise


def load_trained(
    run: Path, which: str, averaged: bool, device: torch.device, trust: targets.Trust = False
) -> TrainedRun:
    """The players of a run as they are in its checkpoint `which`, last or best.

    With `averaged` the generator is the averaged one, where one was kept.

    Raises ConfigError for a checkpoint that cannot be read, or whose configuration names code that is not ours.
    """
    state = checkpoint.load(run, which)
    with checkpoint.compatible_version(run):
        cfg = OmegaConf.create(state["config"])
        for group in ("model", "trick", "dataset"):  # a file from elsewhere may name anything
            targets.check_tree(group, OmegaConf.to_container(cfg[group], resolve=True), trust)
        image, tricks = ImageShape(*state["image"]), build_tricks(cfg)
        generator, discriminator = (build_network(cfg, name, image) for name in ("generator", "discriminator"))
        tricks.prepare_generator(generator, image)
        tricks.prepare_discriminator(discriminator, image)
        generator.load_state_dict((averaged and state["ema"]) or state["generator"])
        discriminator.load_state_dict(state["discriminator"])
        drawn_from = build_noise(cfg)
    return TrainedRun(cfg, state["step"], generator.to(device).eval(), discriminator.to(device).eval(), drawn_from)


def build_reference(
    cfg: DictConfig, split: str | None, kind: str, folders: tuple[Path, Path], device: torch.device
) -> protocol.Reference:
    """What generators of the configuration's data set are scored against: all of it, whatever `dataset.limit` says."""
    if device.type == "mps":
        device = torch.device("cpu")  # the network's pooling of 7 pixels to 4 is not there on mps
    whole = OmegaConf.merge(cfg.dataset, {"limit": None})
    name, has_test = cfg.dataset._target_.rsplit(".", 1)[-1], "test_path" not in whole or whole.test_path is not None

    def load_split(part: str) -> ImageDataset:
        return instantiate_node(whole, data_dir=folders[0], cache_dir=folders[1], split=part)

    return protocol.load_reference(name, load_split, has_test, split, kind, folders, device)


def instantiate_node(node: DictConfig, *given: Any, **named: Any) -> Any:
    """What the node's `_target_` makes of the node's numbers and of what the code gives."""
    try:
        return instantiate(node, *given, **named, _convert_="all")
    except InstantiationException as error:
        raise error.__cause__ or error from None  # what was raised in there, and not Hydra's words for it
