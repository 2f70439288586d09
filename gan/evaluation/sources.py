"""Images that `gan.evaluate` takes without a run: a dataset by its name, or a folder, an archive or an array."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gan.config import CONF, options, targets
from gan.config.errors import ConfigError, printable
from gan.config.schema import CLASSIFIER, Evaluation
from gan.config.types import MIN_SCORED_IMAGES
from gan.data.datasets import ImageDataset
from gan.data.image_folder import find_source
from gan.data.image_shape import DataShape, ImageShape, PointShape
from gan.metrics import network_files
from gan.metrics.features import FeatureNetwork
from gan.metrics.moments import MomentsReference, read_moments
from gan.metrics.protocol import Reference
from gan.training import build

OWN_IMAGES = "image_folder"  # the option of dataset that reads what has no name


def default_folders(settings: Evaluation) -> tuple[Path, Path]:
    """data_dir and cache_dir, where they were not typed those of train.py."""
    defaults: Any = OmegaConf.load(CONF / "train.yaml")
    return (
        find_source(settings.data_dir or defaults.data_dir),
        find_source(settings.cache_dir or defaults.cache_dir),
    )


def load_network(settings: Evaluation, device: torch.device) -> FeatureNetwork | None:
    """The network that `features=` names; None for the classifier of a dataset."""
    if settings.features == CLASSIFIER:
        return None
    return network_files.load_network(settings.features, settings.trust).to(device)


def load_moments(text: str, network: FeatureNetwork, image: DataShape, device: torch.device) -> MomentsReference:
    """The statistics in the file that `stats=` names, to score images of the shape `image` against."""
    title = f"stats={printable(text)}"
    assert isinstance(image, ImageShape)  # runs on points take no statistics
    return MomentsReference(read_moments(find_source(text), title), network, device, image, title)


def load_images(text: str, settings: Evaluation, folders: tuple[Path, Path]) -> ImageDataset:
    """The first `n` images, in shuffled order, of the folder, archive or array that `images=` names.

    Raises ConfigError where there are none, or fewer than scores need.
    """
    cfg = dataset_config(OWN_IMAGES, text, settings.image_size)
    with named("images"):
        cfg.dataset.limit = settings.n
        images = build.instantiate_node(cfg.dataset, data_dir=folders[0], cache_dir=folders[1], split="train")
    needed = settings.n or MIN_SCORED_IMAGES
    if len(images) < needed:
        raise ConfigError(f"images={printable(text)}: has {len(images)} images; must have at least {needed}.")
    return images


def load_training_images(cfg: DictConfig, folders: tuple[Path, Path]) -> ImageDataset:
    """All images that generators of a run's dataset may have been trained on."""
    dataset = DictConfig({**cfg.dataset, "limit": None})
    return build.instantiate_node(dataset, data_dir=folders[0], cache_dir=folders[1], split="train")


def load_reference(
    text: str, settings: Evaluation, network: FeatureNetwork | None, folders: tuple[Path, Path], device: torch.device
) -> Reference:
    """The real images that `reference=` names, with a network, or else with the classifier of the dataset."""
    is_name = text in options.option_files("dataset") and text != OWN_IMAGES and not find_source(text).exists()
    cfg = dataset_config(text if is_name else OWN_IMAGES, text, settings.image_size)
    with named("reference"):
        reference = build.build_reference(cfg, settings.split, network or settings.features, folders, device)
    if isinstance(reference.real.shape, PointShape):
        raise ConfigError(f"reference={printable(text)}: has {reference.real.shape}; must have images.")
    return reference


def dataset_config(option: str, text: str, image_size: int | None) -> DictConfig:
    """The configuration of an option of dataset, of which `text` is the path if it has one."""
    dataset = options.read_option("dataset", option)["dataset"]
    if option == OWN_IMAGES:
        dataset["path"] = text
    if image_size is not None:
        dataset["image_size"] = image_size
    targets.check_tree("dataset", dataset, True)
    return DictConfig({"dataset": dataset})


def match(images: ImageDataset, text: str, real: DataShape) -> ImageDataset:
    """The images, gray ones with as many channels as the real ones. Raises ConfigError for another shape."""
    shape = images.shape
    assert isinstance(shape, ImageShape) and isinstance(real, ImageShape)
    if shape.size != real.size:
        raise ConfigError(
            f"images={printable(text)}: they are {shape.size}x{shape.size}, those of reference=... are "
            f"{real.size}x{real.size}; type image_size={real.size} to resize them."
        )
    if shape.channels > real.channels:
        raise ConfigError(f"images={printable(text)}: they are in color, and those of reference=... are gray.")
    return replace(images, images=images.images.expand(-1, real.channels, -1, -1))


@contextlib.contextmanager
def named(setting: str) -> Iterator[None]:
    """In a ConfigError about `dataset.path` and `dataset.image_size`, name the settings of `gan.evaluate` instead."""
    try:
        yield
    except ConfigError as error:
        message = re.sub(r"\bdataset\.path\b", setting, str(error)).replace("dataset.image_size", "image_size")
        raise ConfigError(message) from error
