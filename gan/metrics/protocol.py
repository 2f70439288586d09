"""How a generator is scored: with which features, on how many images, against which real images.

`python -m gan.evaluate` and scores during training share it, so that their numbers can be compared.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from gan import sampling
from gan.config.errors import ConfigError
from gan.config.schema import CLASSIFIER
from gan.config.types import MIN_SCORED_IMAGES
from gan.data import datasets
from gan.data.datasets import ImageDataset, scale_images
from gan.data.image_shape import DataShape, ImageShape, PixelRange, PointShape
from gan.metrics.catalogue import INCEPTION, METRICS, compute_metrics, metric_of
from gan.metrics.comparison import MAX_KEPT_IMAGES, MAX_PARZEN_PIXELS, Comparison, FeatureStats
from gan.metrics.features import Coordinates, FeatureNetwork, PerChannel, dataset_classifier, fingerprint
from gan.metrics.network_files import Inception
from gan.models.base import Discriminator, Generator
from gan.noise import Noise
from gan.system import files, randomness
from gan.system.cache import from_cache

BATCH_SIZE = 256
GAP_IMAGES = 2000
STACKED_MNIST = "stacked_mnist"


@dataclass
class Reference:
    """Real images to compare with, and the feature network to compare in.

    Args:
        name: of the dataset, as in `dataset=`.
        train: all images that generators of this dataset may have been trained on.
        real: images to compare with.
        split: of `real`, train or test.
    """

    name: str
    train: ImageDataset
    real: ImageDataset
    split: str
    network: FeatureNetwork
    device: torch.device

    def __post_init__(self) -> None:
        self.real_fingerprint = fingerprint(self.real)
        # In random order: metrics that compare fewer images take the first, and those of a dataset may be alike.
        order = torch.randperm(len(self.real), generator=randomness.random_generator("cpu", 0, "real images"))
        self.real_stats = self.feature_stats(self.real.images[indices] for indices in order.split(BATCH_SIZE))

    @property
    def features(self) -> str:
        """Whose features they are, such as `mnist` or `inception`. Part of the columns of metrics on features."""
        return self.network.column or self.name

    def feature_stats(self, batches: Iterable[Tensor]) -> FeatureStats:
        """The statistics of images uint8, in batches (B, C, H, W), or of points (B, d)."""
        return FeatureStats(self.network, batches, self.device)

    def draw_labels(self, class_count: int, count: int, seed: int) -> Tensor | None:
        """See `draw_labels`."""
        return draw_labels(self.train, class_count, count, seed)

    def score(self, stats: FeatureStats, parzen: bool, discriminator_gap: float | None = None) -> dict[str, float]:
        """All metrics of generated images, by column. `parzen` asks for the Parzen estimate, if images are small."""
        parzen_images, shape = None, self.train.shape
        if parzen and isinstance(shape, ImageShape) and shape.pixels <= MAX_PARZEN_PIXELS:
            parzen_images = self.validation, self.real.images[:MAX_KEPT_IMAGES]
        return compute_metrics(
            Comparison(self.features, stats, self.real_stats, parzen_images, discriminator_gap, self.train.modes)
        )

    @property
    def validation(self) -> Tensor:
        """The last sixth of the training images, as Goodfellow et al. 2014 split MNIST."""
        return self.train.images[-(len(self.train) // 6 or 1) :]

    def real_data_baseline(self, count: int, parzen: bool, cache_dir: Path) -> dict[str, float]:
        """The metrics of `count` training images against the test images, from the cache or computed now.

        Of all training images where there are fewer. Empty where `real` are the training images themselves.
        """
        if self.split == "train":
            return {}
        name = f"{self.network.name}-{self.name}-{fingerprint(self.train)}-{self.real_fingerprint}"
        kind = "parzen" if parzen else "quick"
        # without a metric added since: another
        path = cache_dir / f"baseline-{name}-{count}-{kind}-{len(METRICS)}.json"
        return from_cache(path, read_baseline, lambda: self.compute_baseline(count, parzen), write_baseline)

    def compute_baseline(self, count: int, parzen: bool) -> dict[str, float]:
        """`real_data_baseline` without the cache."""
        images = self.train.images[: len(self.train) - len(self.validation)]  # Parzen's width is chosen on the others
        generator = randomness.random_generator("cpu", 0, "floor")  # another key would change published numbers
        indices = torch.randperm(len(images), generator=generator)[:count]
        return self.score(self.feature_stats(images[indices].split(BATCH_SIZE)), parzen)

    def record(self, count: int) -> dict[str, Any]:
        """The protocol of scores of `count` generated images. Scores can be compared where it is the same."""
        return {
            "dataset": f"{self.name}-{self.real_fingerprint}",
            "features": self.network.name,
            "accuracy": self.network.accuracy,
            "generated": count,
            "real": len(self.real),
            "split": self.split,
        }


def draw_labels(train: ImageDataset, class_count: int, count: int, seed: int) -> Tensor | None:
    """Classes int64 (count,) for a conditional generator, as frequent as in training; None for no classes.

    They are those of the training images in random order, each once before any twice.
    """
    if not class_count or train.labels is None:
        return None
    generator, labels = randomness.random_generator("cpu", seed, "score labels"), train.labels
    rounds = [torch.randperm(len(labels), generator=generator) for _ in range(0, count, len(labels))]
    return labels[torch.cat(rounds)[:count]]


def read_baseline(path: Path) -> dict[str, float]:
    """The real-data baseline in a file of the cache. Raises ValueError for something else, OSError without a file."""
    scores = files.read_json(path)
    if not (isinstance(scores, dict) and scores and all(map(metric_of, scores))):
        raise ValueError("it has no metrics")
    if not all(type(value) in (int, float) for value in scores.values()):
        raise ValueError("its metrics are no numbers")
    return scores


def write_baseline(scores: dict[str, float], file: BinaryIO) -> None:
    file.write(json.dumps(scores, indent=2).encode() + b"\n")


def load_reference(
    name: str,
    load: Callable[[str], ImageDataset],
    has_test: bool,
    split: str | None,
    features: str | FeatureNetwork,
    folders: tuple[Path, Path],
    device: torch.device,
) -> Reference:
    """The reference of the dataset `name`.

    Args:
        load: returns the images of a split, train or test.
        has_test: whether there are test images.
        split: to compare with; None is test if there are test images, else train.
        features: `classifier`, `inception`, or another network.
        folders: data_dir and cache_dir.

    Raises ConfigError where the dataset has no classes, no such split, too few images, or test images that differ
    from the training images in shape or classes.
    """
    train = load("train")
    test = load("test") if has_test or split == "test" else None
    split = split or ("test" if test else "train")
    shape = train.shape
    if test and test.shape != shape:
        hint = ", which dataset.channels and dataset.image_size make them" if isinstance(shape, ImageShape) else ""
        raise ConfigError(
            f"dataset.test_path: the test data are {describe(test.shape)}, the training data {describe(shape)}: must "
            f"be equal{hint}."
        )
    if test and test.class_names != train.class_names:
        folder = min({*test.class_names} ^ {*train.class_names})
        raise ConfigError(
            f"dataset.test_path: the class folder {folder} exists for only one of the test images and the training "
            "images; both need the same folders."
        )
    if min(len(dataset) for dataset in (train, test) if dataset) < MIN_SCORED_IMAGES:
        raise ConfigError(
            f"scores need at least {MIN_SCORED_IMAGES} training images, and as many test images if there are any."
        )
    network: FeatureNetwork
    if isinstance(shape, PointShape):
        if features != CLASSIFIER:
            raise ConfigError(f"features=...: leave it out; features are those of images, and {name} has {shape}.")
        network = Coordinates()
    elif isinstance(features, FeatureNetwork):
        network = features.to(device)
    elif features == INCEPTION:
        network = Inception().to(device)
    elif name == STACKED_MNIST:
        gray = datasets.mnist(*folders, "train", limit=None, image_size=shape.size)
        gray_test = datasets.mnist(*folders, "test", limit=None, image_size=shape.size)
        network = PerChannel(dataset_classifier("mnist", gray, gray_test, folders[1], device), shape.channels)
    else:
        network = dataset_classifier(name, train, test, folders[1], device)
    real = train if test is None or split == "train" else test
    return Reference(name, train, real, split, network, device)


def describe(image: DataShape) -> str:
    return f"{image} in {image.class_count} classes"


def generate_images(
    generator: Generator, noise: Noise, count: int, seed: int, device: torch.device, labels: Tensor | None
) -> Iterator[Tensor]:
    """`count` images uint8 (B, C, H, W) or points (B, d), in batches, of the classes `labels` int64 (count,)."""
    randomness.reseed(device, seed, "drawing")
    for start in range(0, count, BATCH_SIZE):
        size = min(BATCH_SIZE, count - start)
        points = noise.sample(BATCH_SIZE, randomness.random_generator("cpu", seed, "scores", start))[:size]
        batch_labels = None if labels is None else labels[start : start + size].to(device)
        yield sampling.generate(generator, points.to(device), batch_labels, BATCH_SIZE)


def discriminator_gap(
    discriminator: Discriminator,
    train: ImageDataset,
    test: ImageDataset,
    *,
    pixel_range: PixelRange,
    batch_size: int,
    classes: int,
    device: torch.device,
) -> float | None:
    """How much more real D finds its training images than test images, from -1 to 1.

    Over pairs of a training and a test image: the fraction in which the training image has the greater logit, less
    the fraction in which the test image has. 0 where D cannot tell them apart, with a standard error of 0.018.

    Up to 2,000 images of each are drawn at random (the first images of MNIST differ from the last), in batches of the
    size that D was trained with, since some tricks compare the images of a batch.

    Args:
        classes: number of classes that D is conditioned on, or 0.

    Returns None where there is less than one batch.
    """

    @torch.no_grad()
    def compute_logits(dataset: ImageDataset) -> Tensor:
        dataset = dataset if classes else replace(dataset, labels=None)
        indices = torch.randperm(len(dataset), generator=randomness.random_generator("cpu", "gap"))
        if dataset.labels is not None:
            indices = indices[dataset.labels[indices] < classes]
        dataset = dataset[indices[:GAP_IMAGES]]
        logits = [torch.empty(0)]
        for start in range(0, len(dataset) - batch_size + 1, batch_size):
            batch = dataset[start : start + batch_size]
            labels = None if batch.labels is None else batch.labels.to(device)
            logits.append(discriminator(scale_images(batch.images.to(device), pixel_range), labels).cpu())
        return torch.cat(logits)

    train_logits, test_logits = compute_logits(train)[:, None], compute_logits(test)
    if not (len(train_logits) and len(test_logits)):
        return None
    return ((train_logits > test_logits).double().mean() - (train_logits < test_logits).double().mean()).item()
