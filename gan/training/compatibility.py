"""What cannot go together in a run, checked once its parts exist. Each raises ConfigError with one sentence."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from gan.config.errors import ConfigError, first_line
from gan.config.schema import Settings
from gan.data.datasets import ImageDataset
from gan.data.image_shape import DataShape, ImageShape
from gan.losses import Loss
from gan.models.base import Discriminator, Generator
from gan.models.layers import has_batch_norm
from gan.optim import Schedule
from gan.system import rank
from gan.system.device import is_memory_error, memory_errors
from gan.training.trackers import check_trackers
from gan.tricks.base import Trick, TrickContext, Tricks

MIN_CLASSES = 2  # for scores, whose features come from a classifier


def check_choices(settings: Settings, loss: Loss, tricks: Mapping[str, Trick]) -> None:
    """Check what needs no data, before minutes are spent on loading it. `tricks` are those with code, by name."""
    check_lipschitz(settings, loss, Tricks(list(tricks.values())))
    check_processes(settings, tricks)
    check_trackers(settings.watch)


def check_run(
    settings: Settings,
    dataset: ImageDataset,
    loss: Loss,
    tricks: Mapping[str, Trick],
    generator: Generator,
    discriminator: Discriminator,
) -> None:
    """Check the parts of a run, before the tricks modify the networks. `tricks` are those with code, by name."""
    together = Tricks(list(tricks.values()))
    check_dataset(settings, dataset)
    check_kind(settings, dataset.shape, tricks, generator)
    if dataset.missing_classes and "conditional" in tricks:
        raise ConfigError(
            f"trick=conditional needs classes, and {dataset.missing_classes}: move it into one of them or away, or "
            "give it a label."
        )
    check_networks(settings, dataset.shape, generator, discriminator, Tricks([]))
    check_batch_norm(settings.train.batch_size, together.images_per_logit, generator, discriminator)
    for name, trick in tricks.items():
        if trick.uses_features and not discriminator.feature_count:
            raise ConfigError(
                f"trick={name} needs a discriminator with features: model.discriminator must be a subclass of "
                "gan.models.base.Discriminator."
            )
    together.check(
        TrickContext(
            dataset.shape,
            settings.train,
            settings.watch,
            loss,
            together,
            generator,
            discriminator,
        )
    )


def check_lipschitz(settings: Settings, loss: Loss, tricks: Tricks) -> None:
    """What keeps D Lipschitz: something, where the loss needs it, and not two things that contradict each other."""
    clips = settings.train.weight_clip is not None
    penalties = {trick.penalized_norm for trick in tricks.tricks if trick.penalized_norm is not None}
    if loss.requires_lipschitz and not (clips or tricks.any("enforces_lipschitz")):
        raise ConfigError(
            f"loss={type(loss).__name__.lower()} needs a Lipschitz constraint: add trick=[wgan_gp], [spectral_norm], "
            "[weight_clipping] or another gradient penalty."
        )
    if len(penalties) > 1:
        raise ConfigError(
            "trick=[r1] and [r2] pull the gradient norm to 0, [wgan_gp] and [dragan] pull it to 1: choose one kind."
        )
    if penalties and tricks.any("mixes_images"):
        raise ConfigError(
            "trick=minibatch_discrimination does not go with a gradient penalty, which is defined for each image "
            "alone: choose one."
        )
    if clips and tricks.any("enforces_lipschitz"):
        raise ConfigError(
            "trick=weight_clipping does not go with a gradient penalty, whose gradient norm clipped weights cannot "
            "reach, nor with trick=spectral_norm, which scales the weights again: choose one."
        )


def check_processes(settings: Settings, tricks: Mapping[str, Trick]) -> None:
    """What several processes, each with a part of the batch, do not support."""
    if rank.WORLD_SIZE == 1:
        return
    if names := [name for name, trick in tricks.items() if trick.needs_whole_batch]:
        raise ConfigError(f"trick=[{','.join(names)}] needs the whole batch: not supported with several processes.")
    if settings.compile:
        raise ConfigError("compile=true: not supported with several processes.")
    if settings.cuda_graphs:
        raise ConfigError("cuda_graphs=true: not supported with several processes.")


def check_dataset(settings: Settings, dataset: ImageDataset) -> None:
    """A dataset that fills a batch, with classes where they are needed."""
    train = settings.train
    batch_size, steps, accumulate = train.batch_size, train.discriminator_steps, train.accumulate
    kind = "images" if isinstance(dataset.shape, ImageShape) else "points"
    if batch_size > len(dataset):
        raise ConfigError(f"train.batch_size={batch_size}: must be at most the dataset's {len(dataset)} {kind}.")
    if (images := batch_size * steps * accumulate) > len(dataset):
        accumulated = f", train.accumulate={accumulate}" if accumulate > 1 else ""
        raise ConfigError(
            f"train.discriminator_steps={steps} with train.batch_size={batch_size}{accumulated} takes {images} {kind} "
            f"per step: must be at most the dataset's {len(dataset)} {kind}."
        )
    shape = dataset.shape
    if settings.watch.scores_every and isinstance(shape, ImageShape) and shape.class_count < MIN_CLASSES:
        raise ConfigError("watch.scores_every needs a dataset with classes, whose classifier gives the features.")


def check_kind(settings: Settings, image: DataShape, tricks: Mapping[str, Trick], generator: Generator) -> None:
    """A generator of what the dataset has, images or points, and of points nothing that only images have."""
    has_images = isinstance(image, ImageShape)
    if has_images != (generator.pixel_range is not None):
        made = "points (pixel_range is None)" if has_images else f"images (pixel_range is {generator.pixel_range})"
        raise ConfigError(f"model.generator generates {made}, and the dataset has {image}: {fitting_models(image)}.")
    if generator.uses_mean_image and generator.pixel_range is None:
        raise ConfigError("model.generator.output_bias=marginals: must be default for points, as it inverts pixels.")
    if has_images:
        return
    for name in (name for name, trick in tricks.items() if trick.images_only):
        raise ConfigError(f"trick={name} changes images, and the dataset has {image}: leave it out.")
    for name in ("samples_normalized", "scores_parzen"):
        if getattr(settings.watch, name):
            raise ConfigError(f"watch.{name}=true: must be false, as the dataset has {image}, which have no pixels.")


def fitting_models(image: DataShape) -> str:
    """What to type for a model that fits images, or points."""
    return "choose model=dcgan or another model of images" if isinstance(image, ImageShape) else "choose model=points"


def check_networks(
    settings: Settings, image: DataShape, generator: Generator, discriminator: Discriminator, tricks: Tricks
) -> None:
    """Run networks of the user once, to see whether they fit the noise, the images and the logits.

    Args:
        tricks: those that have modified the networks.
    """
    batch_size = settings.train.batch_size
    images = batch_size, *image.dims
    labels = [torch.zeros(batch_size, dtype=torch.int64)] if tricks.any("uses_labels") else []
    inputs = {"generator": (batch_size, settings.noise.dim), "discriminator": images}
    outputs = {"generator": images, "discriminator": (batch_size // tricks.images_per_logit,)}
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        if type(network).__module__.startswith("gan.models.") and type(network) not in (Generator, Discriminator):
            continue
        if any(isinstance(weight, UninitializedParameter) for weight in network.parameters()):
            raise ConfigError(f"model.{name} has a lazy layer: give it the number of its inputs.")
        output = dry_run(name, network, torch.zeros(inputs[name]), *labels)
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if shape != outputs[name]:
            raise ConfigError(f"model.{name} maps {inputs[name]} to {shape}: must be {outputs[name]}.")


def dry_run(name: str, network: nn.Module, inputs: Tensor, *labels: Tensor) -> Any:
    """The output of a copy of a network in eval mode: neither the network nor the random state changes."""
    try:
        with memory_errors(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            return copy.deepcopy(network).eval()(inputs, *labels)
    except Exception as error:  # the user's code
        if is_memory_error(error):
            raise
        shape = tuple(inputs.shape)
        raise ConfigError(f"model.{name} fails on inputs of shape {shape}: {first_line(error)}.") from error


def check_batch_norm(batch_size: int, images_per_logit: int, generator: nn.Module, discriminator: nn.Module) -> None:
    """BatchNorm needs two values per feature."""
    for network, images in ((generator, 1), (discriminator, images_per_logit)):
        if batch_size <= images and any(isinstance(layer, nn.BatchNorm1d) for layer in network.modules()):
            raise ConfigError(f"train.batch_size={batch_size}: must be >= {2 * images} for BatchNorm.")


def choose_separate_batches(setting: bool | None, tricks: Tricks, discriminator: Discriminator) -> bool:
    """Whether D gets real and fake images as separate batches: by default, where the images of a batch interact."""
    mixes_images = tricks.any("mixes_images") or has_batch_norm(discriminator)
    if setting is not None and not mixes_images:
        raise ConfigError(
            f"train.separate_batches={str(setting).lower()} has no effect: this discriminator has no BatchNorm."
        )
    return mixes_images if setting is None else setting


def check_optimizer(player: str, optimizer: torch.optim.Optimizer, schedule: Mapping[str, Schedule]) -> None:
    """A fused optimizer, which can skip a step that is not finite, and a schedule of options that it has."""
    if not optimizer.defaults.get("fused"):
        raise ConfigError(
            f"optim.{player} must be fused: gan.optim.adam, gan.optim.sgd, or one of torch.optim with "
            f"+optim.{player}.fused=true."
        )
    options = [name for name, value in optimizer.defaults.items() if type(value) in (int, float)]
    if unknown := schedule.keys() - set(options):
        raise ConfigError(
            f"optim.schedule.{min(unknown)}: must be an option of the {player}'s optimizer: {', '.join(options)}."
        )
