"""From a checked configuration to the objects that train."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from gan import sampling
from gan.config import schema, targets
from gan.config.errors import ConfigError, first_line
from gan.config.schema import Settings
from gan.config.types import as_list
from gan.data.batches import Batches
from gan.data.datasets import ImageDataset, scale_images
from gan.data.image_folder import has_test_split
from gan.data.image_shape import DataShape, read_shape
from gan.data.summary import summarize
from gan.metrics import protocol
from gan.metrics.features import FeatureNetwork
from gan.models.base import Discriminator, Generator
from gan.noise import Noise
from gan.numerics import NonFiniteGuard
from gan.player import Player, Players
from gan.system import distributed, files, randomness
from gan.system.cache import limit_size
from gan.system.device import (
    flush_denormals,
    is_memory_error,
    keep_freed_memory,
    memory_errors,
    select_device,
    warn_if_bf16_is_slow,
)
from gan.system.rank import WORLD_SIZE
from gan.training import checkpoint, compatibility
from gan.training.cuda_graphs import CudaGraphs
from gan.training.ema import EMA
from gan.training.logger import MetricAccumulator
from gan.training.state import TrainingRun
from gan.tricks.base import Trick, Tricks

CPU = torch.device("cpu")


def build_run(cfg: DictConfig, settings: Settings, hparams: dict[str, Any]) -> TrainingRun:
    """Dataset, networks that fit it, tricks, optimizers. Raises ConfigError for parts that cannot go together."""
    device = select_device(settings.device)
    configure_torch(settings, device)
    train = settings.train
    loss, named_tricks = instantiate_node(cfg.loss), build_tricks(cfg)
    tricks = Tricks(list(named_tricks.values()))
    compatibility.check_choices(settings, loss, named_tricks)
    with distributed.rank_zero_first():
        dataset = load_dataset(cfg, settings, "train")
    image = dataset.shape
    generator, discriminator = build_networks(cfg, image)
    compatibility.check_run(settings, dataset, loss, named_tricks, generator, discriminator)
    separate_batches = compatibility.choose_separate_batches(train.separate_batches, tricks, discriminator)
    if generator.uses_mean_image:
        sums = torch.stack([part.sum(0, dtype=torch.int64) for part in dataset.images.split(4096)]).sum(0)
        generator.start_from_mean_image(scale_images(sums / len(dataset), generator.pixel_range))
    labels = tricks.label_images(dataset)
    randomness.reseed(CPU, settings.seed, "tricks")
    tricks.modify_networks(generator, discriminator, image)
    compatibility.check_networks(settings, image, generator, discriminator, tricks)

    guard = NonFiniteGuard(device)
    players = Players(
        build_player(cfg, "generator", generator, settings, guard),
        build_player(cfg, "discriminator", discriminator, settings, guard),
        separate_batches,
    )
    tricks.begin_training(players)
    reference = None
    if settings.watch.scores_every:
        with distributed.rank_zero_first():
            reference = build_reference(
                cfg, None, "classifier", (Path(settings.data_dir), Path(settings.cache_dir)), device
            )
    return TrainingRun(
        settings=settings,
        config=OmegaConf.to_yaml(cfg, resolve=True),
        data=summarize(dataset, dataset_name(cfg), str(cfg.dataset.get("path", ""))),
        hparams=hparams,
        device=device,
        batches=Batches(
            replace(dataset, labels=labels),
            train.batch_size,
            settings.seed,
            device,
            distributed.local_slice(train.batch_size),
        ),
        image=image,
        players=players,
        generator=generator,
        emas=[EMA(generator, decay) for decay in as_list(train.ema_decay)],
        loss=loss,
        tricks=tricks,
        noise=build_noise(cfg),
        metrics=MetricAccumulator(settings.watch.log_mean),
        reference=reference,
        graphs=CudaGraphs() if uses_cuda_graphs(cfg, settings, device) else None,
    )


def uses_cuda_graphs(cfg: DictConfig, settings: Settings, device: torch.device) -> bool:
    """Whether steps are repeated as CUDA graphs: by default for this project's code, which changes no Python state."""
    if settings.cuda_graphs is None:
        return device.type == "cuda" and WORLD_SIZE == 1 and not targets.names_outside_code(cfg)
    if settings.cuda_graphs and device.type != "cuda":
        raise ConfigError(f"cuda_graphs=true needs a GPU of NVIDIA: the device of this run is {device.type}.")
    return settings.cuda_graphs


def configure_torch(settings: Settings, device: torch.device) -> None:
    """Threads, precision and memory of this process."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    flush_denormals()
    keep_freed_memory()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, which convolutions there use anyway
        torch.backends.cudnn.deterministic = True
    if settings.precision == "bf16":
        warn_if_bf16_is_slow(device)


def load_dataset(cfg: DictConfig, settings: Settings, split: str) -> ImageDataset:
    """One split, `train` or `test`."""
    folders = {"data_dir": Path(settings.data_dir), "cache_dir": Path(settings.cache_dir)}
    dataset = instantiate_node(cfg.dataset, **folders, split=split)
    limit_size(folders["cache_dir"])
    return dataset


def dataset_name(cfg: DictConfig) -> str:
    """The name of the function that loads the dataset, as in `dataset=`."""
    return cfg.dataset._target_.rsplit(".", 1)[-1]


def build_noise(cfg: DictConfig) -> Noise:
    """The noise that G maps to images."""
    return Noise(cfg.noise.kind, cfg.noise.dim)


def build_tricks(cfg: DictConfig) -> dict[str, Trick]:
    """The chosen tricks that have code, by name."""
    return {name: instantiate_node(node) for name, node in cfg.trick.items() if "_target_" in node}


def build_networks(cfg: DictConfig, image: DataShape) -> tuple[Generator, Discriminator]:
    """Both networks, on the CPU. The weights of each depend on the seed and its name alone."""
    generator = Generator.wrap(build_network(cfg, "generator", image, cfg.noise.dim))
    generator.noise = build_noise(cfg)
    return generator, Discriminator.wrap(build_network(cfg, "discriminator", image))


def build_network(cfg: DictConfig, name: str, image: DataShape, *args: Any) -> nn.Module:
    """One network, as its class makes it.

    Raises ConfigError where a class outside this project fails, and where one does not fit images, or points.
    """
    node = cfg.model[name]
    randomness.reseed(CPU, cfg.seed, name)
    try:
        with memory_errors():
            return instantiate_node(node, image, *args)
    except Exception as error:
        if isinstance(error, AttributeError) and error.obj is image:
            raise ConfigError(
                f"model.{name}._target_={node._target_} reads image.{error.name}, which {image} do not have: "
                f"{compatibility.fitting_models(image)}."
            ) from error
        if isinstance(error, ConfigError) or is_memory_error(error) or node._target_.startswith("gan."):
            raise
        raise ConfigError(f"model.{name}._target_={node._target_} cannot be built: {first_line(error)}.") from error


def build_player(cfg: DictConfig, name: str, network: nn.Module, settings: Settings, guard: NonFiniteGuard) -> Player:
    """The network on its device, with its optimizer."""
    distributed.sync_batch_norm(network)
    network.to(guard.found_inf.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster convolutions
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        raise ConfigError(f"model.{name} has no trainable weights.")
    optimizer = instantiate_node(cfg.optim[name], weights)
    schedule = {option: instantiate_node(node) for option, node in cfg.optim.schedule.items()}
    compatibility.check_optimizer(name, optimizer, schedule)
    train = settings.train
    clip = train.weight_clip if name == "discriminator" else None
    return Player(network, optimizer, schedule, guard, settings.precision, settings.compile, clip, train.accumulate)


@dataclass(frozen=True)
class TrainedRun:
    """The networks of a checkpoint, for sampling and evaluation.

    Args:
        discriminator: None where the generator comes alone, from a file.
        ema: whether the generator has the EMA of its weights; a number: that of this decay; None where not known.
    """

    cfg: DictConfig
    step: int
    image: DataShape
    generator: Generator
    discriminator: Discriminator | None
    noise: Noise
    ema: bool | float | None = None


def load_trained(
    run: Path, which: str, ema: bool | float, device: torch.device, trust: targets.Trust = False
) -> TrainedRun:
    """The networks in a run's checkpoint `which`, last or best.

    Args:
        ema: true: the EMA of G, the first one, if there is any; a number: that of this decay; false: G itself.

    Raises ConfigError for a checkpoint that cannot be read, or that names code from outside this project.
    """
    files.check_links(run)
    state = checkpoint.load(run, which)
    with checkpoint.compatible_version(run):
        config = checkpoint.parse_config(state["config"])
        cfg = OmegaConf.create(config)
        check_stored(cfg, trust)
        image, tricks = read_shape(state["image"]), Tricks(list(build_tricks(cfg).values()))
        generator, discriminator = build_networks(cfg, image)
        tricks.modify_networks(generator, discriminator, image)
        averaged = checkpoint.choose_ema(state, as_list(config["train"]["ema_decay"]), ema)
        generator.load_state_dict(averaged or state["generator"])
        discriminator.load_state_dict(state["discriminator"])
        noise = build_noise(cfg)
        generator, discriminator = generator.to(device).eval(), discriminator.to(device).eval()
        if averaged:
            generator = sampling.recompute_batch_norm(generator, noise, cfg.train.batch_size, device)
    return TrainedRun(cfg, state["step"], image, generator, discriminator, noise, ema if averaged else False)


def check_stored(cfg: DictConfig, trust: targets.Trust = False) -> None:
    """Raise ConfigError where what G is built from or scored with is not as it was checked before training.

    A checkpoint or a generator file from elsewhere may name anything. Code outside this project needs `trust`.
    """
    for group in ("model", "trick", "dataset"):
        targets.check_tree(group, OmegaConf.to_container(cfg[group], resolve=True), trust)
    if "_target_" not in cfg.dataset:
        raise ConfigError("dataset._target_: missing; must be the function that loads the dataset.")
    schema.validated("noise", OmegaConf.to_container(cfg.noise), schema.Noise.model_validate_json)


def build_reference(
    cfg: DictConfig, split: str | None, features: str | FeatureNetwork, folders: tuple[Path, Path], device: torch.device
) -> protocol.Reference:
    """What generators are scored against: the whole dataset, whatever `dataset.limit` says."""
    if device.type == "mps":
        device = CPU  # the classifier's pooling from 7 to 4 pixels is not implemented on mps
    dataset = DictConfig({**cfg.dataset, "limit": None})
    has_test = (
        "test_path" not in dataset
        or dataset.test_path is not None
        or (dataset_name(cfg) == "image_folder" and has_test_split(dataset.path, folders[1], "dataset.path"))
    )

    def load_split(split: str) -> ImageDataset:
        return instantiate_node(dataset, data_dir=folders[0], cache_dir=folders[1], split=split)

    return protocol.load_reference(dataset_name(cfg), load_split, has_test, split, features, folders, device)


def instantiate_node(node: DictConfig, *args: Any, **kwargs: Any) -> Any:
    """Call the node's `_target_` with the node's settings and these arguments."""
    try:
        return instantiate(node, *args, **kwargs, _convert_="all")
    except InstantiationException as error:
        raise error.__cause__ or error from None  # what the target raised, without Hydra's message around it
