"""How a generator is scored: with which network, on how many images, against which real ones.

The same for `python -m gan.evaluate` and for scores in training, so that their numbers can be compared.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan import sampling
from gan.config.errors import ConfigError
from gan.config.types import MIN_SCORED_IMAGES
from gan.data import datasets
from gan.data.datasets import ImageDataset, scaled
from gan.data.image_shape import ImageShape
from gan.metrics import features, formulas
from gan.noise import Noise
from gan.player import given
from gan.system import files, randomness

BATCH = 256
GAP_COUNT = 2000
STACKED = "stacked_mnist"


@dataclass
class Reference:
    """What generators are held against.

    Args:
        name: of the data set, as in `dataset=`.
        train: all images that generators of this data set may have learned from.
        real: those that scores compare with, of the split `split`.
        network: what the scores are taken with; `network.name` says which it is.
    """

    name: str
    train: ImageDataset
    real: ImageDataset
    split: str
    network: nn.Module
    device: torch.device

    def __post_init__(self) -> None:
        self.hash = features.fingerprint(self.real)
        self.seen = self.look(self.real.images.split(BATCH))

    def look(self, batches: Iterable[Tensor]) -> formulas.FeatureStats:
        """What the network sees in images uint8 (n, C, H, W), batch by batch."""
        return formulas.FeatureStats(self.network, batches, self.device)

    def score(self, seen: formulas.FeatureStats, parzen: bool) -> dict[str, float]:
        """What can be said of the images in `seen`, by name."""
        found = formulas.compare(seen, self.seen)
        if not isinstance(self.network, features.Inception):
            found |= formulas.class_balance(seen.classes)
        if parzen and self.train.shape.pixels <= formulas.PARZEN_PIXELS:
            found |= formulas.parzen(seen.images, self.validation, self.real.images[: formulas.KEPT])
        return found

    @property
    def validation(self) -> Tensor:
        """The last sixth of the images to train on, as Goodfellow et al. 2014 hold it back from MNIST's."""
        return self.train.images[-(len(self.train) // 6 or 1) :]

    def floor(self, count: int, parzen: bool, cache_dir: Path) -> dict[str, float]:
        """What `count` real images that are not in `real` score themselves, or as many as there are.

        It is kept in the cache. Nothing, where there are no such images.
        """
        if self.split == "train":
            return {}
        name = f"{self.network.name}-{self.name}-{features.fingerprint(self.train)}-{self.hash}"
        kept = cache_dir / f"floor-{name}-{count}-{'parzen' if parzen else 'quick'}.json"
        with contextlib.suppress(OSError, ValueError):  # none yet, or damaged
            return json.loads(kept.read_text("utf-8"))
        learnable = self.train[: len(self.train) - len(self.validation)]  # the widths are chosen on the others
        order = torch.randperm(len(learnable), generator=randomness.random_generator("cpu", 0, "floor"))[:count]
        found = self.score(self.look(learnable.images[order].split(BATCH)), parzen)
        with contextlib.suppress(OSError):  # a cache that cannot be kept is no loss
            files.write_json(kept, found)
        return found

    def record(self, count: int) -> dict[str, Any]:
        """What must be the same where two scores are compared."""
        return {
            "dataset": f"{self.name}-{self.hash}",
            "features": self.network.name,
            "accuracy": self.network.accuracy,
            "generated": count,
            "real": len(self.real),
            "split": self.split,
        }


def load_reference(
    name: str,
    load: Callable[[str], ImageDataset],
    has_test: bool,
    split: str | None,
    kind: str,
    folders: tuple[Path, Path],
    device: torch.device,
) -> Reference:
    """What the data set `name` offers to score with.

    Raises ConfigError where it has no classes, not such a split, too few images or test images of another kind.

    Args:
        load: gives the images of a split, train or test.
        has_test: whether there are images to test on.
        split: the one to compare with; None is test, or train where there are no others.
        kind: of network, `own` or `inception`.
        folders: where downloaded sets lie, and what is made here is kept.
    """
    train = load("train")
    test = load("test") if has_test or split == "test" else None
    split = split or ("test" if test else "train")
    if test and test.shape != train.shape:
        raise ConfigError(
            f"the test images are {in_words(test.shape)} and those to train on {in_words(train.shape)}: they should "
            "be alike; dataset.channels and dataset.image_size make them so."
        )
    if test and test.names != train.names:
        raise ConfigError(
            f"the folder {min({*test.names} ^ {*train.names})} is not both among the test images and among those to "
            "train on: classes go by the names of their folders, which should be the same."
        )
    if min(len(each) for each in (train, test) if each) < MIN_SCORED_IMAGES:
        raise ConfigError(f"scores need {MIN_SCORED_IMAGES} images or more to train on, and as many to test on.")
    if kind == "inception":
        network = features.Inception().to(device)
    elif name == STACKED:
        grey = [datasets.mnist(*folders, part, limit=None, image_size=train.shape.size) for part in ("train", "test")]
        network = features.PerChannel(
            features.dataset_classifier("mnist", *grey, folders[1], device), train.shape.channels
        )
    else:
        network = features.dataset_classifier(name, train, test, folders[1], device)
    return Reference(name, train, test if split == "test" else train, split, network, device)


def in_words(image: ImageShape) -> str:
    return f"{image.size}x{image.size}x{image.channels} in {image.classes} classes"


def generate_images(
    generator: nn.Module, noise: Noise, count: int, seed: int, device: torch.device
) -> Iterator[Tensor]:
    """`count` images uint8, in batches; all classes in turn where the generator is told of them."""
    randomness.reseed(device, seed, "drawing")
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        points = noise.draw(size, randomness.random_generator("cpu", seed, "scores", first)).to(device)
        yield sampling.generate(
            generator, points, sampling.cycle_labels(generator.class_count, size, device, first), BATCH
        )


def discriminator_gap(
    discriminator: nn.Module,
    learned: ImageDataset,
    other: ImageDataset,
    pixel_range: tuple[float, float],
    batch_size: int,
    classes: int,
    device: torch.device,
) -> float | None:
    """How much more real D finds the images that it `learned` from than `other` ones, from -1 to 1.

    The share of pairs in which the learned one has the greater logit, less that in which the other has: 0 where D
    cannot tell, whatever its loss, with a standard error of 0.018. From up to 2,000 of each, drawn at random, since
    MNIST's first ones are thinner than its last, and in batches of the size that D was trained on, since some tricks
    let it compare the images of one; None where there is not one such batch. `classes` are those it knows.
    """

    @torch.no_grad()
    def judged(images: ImageDataset) -> Tensor:
        chosen = torch.randperm(len(images), generator=randomness.random_generator("cpu", "gap"))
        if classes:
            chosen = chosen[images.labels[chosen] < classes]
        images = images[chosen[:GAP_COUNT]]
        whole = len(images) // batch_size
        logits = [torch.empty(0)]
        for part in (images[batch_size * number : batch_size * (number + 1)] for number in range(whole)):
            labels = part.labels.to(device) if classes else None
            logits.append(discriminator(scaled(part.images.to(device), pixel_range), *given(labels)).cpu())
        return torch.cat(logits)

    ours, theirs = judged(learned)[:, None], judged(other)
    if not (len(ours) and len(theirs)):
        return None
    return ((ours > theirs).double().mean() - (ours < theirs).double().mean()).item()
