"""How a generator is scored: with which network, on how many pictures, against which real ones.

The same for `python -m gan.evaluate` and for scores in training, so that their numbers can be compared.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan import data, features, files, randomness, sampling, scores
from gan.data import Pictures, scaled
from gan.errors import Refused
from gan.noise import Noise
from gan.player import given

BATCH = 256
GAP_COUNT = 2000
PARZEN_PIXELS = 3 * 32 * 32  # a picture of more numbers than this is not given a Parzen score: it takes minutes
STACKED = "stacked_mnist"


@dataclass
class Reference:
    """What generators are held against.

    Args:
        name: of the data set, as in `dataset=`.
        train: all pictures that generators of this data set may have learned from.
        real: those that scores compare with, of the split `split`.
        network: what the scores are taken with; `network.name` says which it is.
    """

    name: str
    train: Pictures
    real: Pictures
    split: str
    network: nn.Module
    device: torch.device

    def __post_init__(self) -> None:
        self.seen = self.look(self.real.images.split(BATCH))

    def look(self, batches: Iterable[Tensor]) -> scores.Seen:
        """What the network sees in pictures uint8 (n, C, H, W), batch by batch."""
        return scores.Seen(self.network, batches, self.device)

    def score(self, seen: scores.Seen, parzen: bool) -> dict[str, float]:
        """What can be said of the pictures in `seen`, by name."""
        found = scores.compare(seen, self.seen)
        if not isinstance(self.network, features.Inception):
            found |= scores.spread_over_classes(seen.classes)
        if parzen and self.train.shape.pixels <= PARZEN_PIXELS:
            found |= scores.parzen(seen.images, self.validation, self.real.images[: scores.KEPT])
        return found

    @property
    def validation(self) -> Tensor:
        """The last sixth of the pictures to train on, as Goodfellow et al. 2014 hold it back from MNIST's."""
        return self.train.images[-(len(self.train) // 6 or 1) :]

    def floor(self, count: int, parzen: bool, cache_dir: Path) -> dict[str, float]:
        """What `count` real pictures that are not in `real` score themselves; kept in the cache."""
        kept = cache_dir / f"floor-{self.network.name}-{self.split}-{count}-{'parzen' if parzen else 'quick'}.json"
        if not kept.exists():
            learnable = self.train[: len(self.train) - len(self.validation)]  # the widths are chosen on the others
            order = torch.randperm(len(learnable), generator=randomness.generator("cpu", 0, "floor"))[:count]
            files.write_json(kept, self.score(self.look(learnable.images[order].split(BATCH)), parzen))
        return json.loads(kept.read_text())

    def record(self, count: int) -> dict[str, Any]:
        """What must be the same where two scores are compared."""
        return {
            "features": self.network.name,
            "accuracy": self.network.accuracy,
            "generated": count,
            "real": len(self.real),
            "split": self.split,
        }


def reference(
    name: str,
    load: Callable[[str], Pictures],
    split: str | None,
    kind: str,
    folders: tuple[Path, Path],
    device: torch.device,
) -> Reference:
    """What the data set `name` offers to score with. Raises Refused where it has no classes, or not such a split.

    Args:
        load: gives the pictures of a split, train or test.
        split: the one to compare with; None is test, or train where there are no others.
        kind: of network, `own` or `inception`.
        folders: where downloaded sets lie, and what is made here is kept.
    """
    train = load("train")
    try:
        test = load("test")
    except Refused:
        if split == "test":
            raise
        test = None
    split = split or ("test" if test else "train")
    if kind == "inception":
        network = features.Inception().to(device)
    elif name == STACKED:
        grey = [data.mnist(*folders, part, limit=None, image_size=train.shape.size) for part in ("train", "test")]
        network = features.PerChannel(features.own("mnist", *grey, folders[1], device), train.shape.channels)
    else:
        network = features.own(name, train, test, folders[1], device)
    return Reference(name, train, test if split == "test" else train, split, network, device)


def drawn(
    generator: nn.Module, noise: Noise, count: int, seed: int, device: torch.device, classes: int
) -> Iterator[Tensor]:
    """`count` pictures uint8, in batches; all classes in turn where the generator is told of them."""
    randomness.reseed(device, seed, "drawing")
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        points = noise.draw(size, randomness.generator("cpu", seed, "scores", first)).to(device)
        labels = None if not classes else (torch.arange(size, device=device) + first) % classes
        yield sampling.generate(generator, points, labels, BATCH)


@torch.no_grad()
def discriminator_gap(
    discriminator: nn.Module,
    reference: Reference,
    pixel_range: tuple[float, float],
    batch_size: int,
    conditional: bool,
) -> float | None:
    """D(train) - D(test), from up to 2,000 of each: far above 0 where D knows what it learned by heart.

    D sees whole batches of the size that it was trained on, since some tricks let it compare the pictures of one. None
    where there is not one such batch.
    """
    whole = min(GAP_COUNT, len(reference.train), len(reference.real)) // batch_size
    if not whole:
        return None
    means = []
    for pictures in (reference.train, reference.real):
        logits = []
        for part in (pictures[batch_size * number : batch_size * (number + 1)] for number in range(whole)):
            labels = part.labels.to(reference.device) if conditional else None
            images = scaled(part.images.to(reference.device), pixel_range)
            logits.append(discriminator(images, *given(labels)).cpu())
        means.append(torch.cat(logits).sigmoid().mean().item())
    return means[0] - means[1]
