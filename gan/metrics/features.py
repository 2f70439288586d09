"""The networks in whose features images are compared.

A data set with labels gets a small classifier of its own, trained here in a few minutes and kept in the cache; its
name ends in a hash of its weights, since two scores may only be compared when they were taken with the same one.
"""

import contextlib
import hashlib
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from gan.config.errors import ConfigError
from gan.data.datasets import ImageDataset
from gan.data.downloads import network_timeout
from gan.data.image_shape import ImageShape
from gan.system import files, randomness

log = logging.getLogger(__name__)
FEATURES = 128
EPOCHS, BATCH, RATE = 4, 128, 2e-3
SEED = 0


class Classifier(nn.Module):
    """Images uint8 (B, C, H, W) in; features (B, 128) and logits (B, classes) out.

    Over the images that it was trained on each feature has mean 0 and variance 1, so that scores of different data
    sets are of one order.
    """

    def __init__(self, image: ImageShape) -> None:
        super().__init__()
        self.name, self.accuracy = "untrained", 0.0
        self.maps = nn.Sequential(
            *(nn.Conv2d(image.channels, 32, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        )
        self.features = nn.Linear(16 * 128, FEATURES)
        self.logits = nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(FEATURES, image.class_count))
        self.standard = nn.BatchNorm1d(FEATURES, affine=False, momentum=None)  # None: the mean of all it has seen

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.maps(images.float() / 127.5 - 1))
        return self.standard(features), self.logits(features)


class PerChannel(nn.Module):
    """Each channel of a image through the same classifier of grey images, as stacked MNIST wants it.

    Features stand side by side; classes are all combinations, the first channel's the last to change.
    """

    def __init__(self, network: Classifier, channels: int) -> None:
        super().__init__()
        self.network, self.accuracy = network, network.accuracy
        self.name = f"{channels}x{network.name}"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        count, channels = images.shape[:2]
        features, logits = self.network(images.reshape(count * channels, 1, *images.shape[2:]))
        together = torch.zeros(count, 1, device=images.device)
        for each in logits.log_softmax(1).view(count, channels, -1).unbind(1):
            together = (together[:, :, None] + each[:, None]).flatten(1)
        return features.view(count, -1), together


class Inception(nn.Module):
    """The Inception network of the literature's FID, from torch-fidelity. Raises ConfigError where it cannot be had."""

    name, accuracy = "inception-v3-compat", None

    def __init__(self) -> None:
        super().__init__()
        from torch_fidelity.utils import create_feature_extractor

        layers = ["2048", "logits_unbiased"]
        try:
            with network_timeout():
                self.network = create_feature_extractor(self.name, layers, cuda=False, verbose=False)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ConfigError(
                f"features=inception needs weights that could not be downloaded ({reason}): connect to a network, or "
                "take features=own, which are trained here."
            ) from error

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(images.expand(-1, 3, -1, -1).contiguous())


def dataset_classifier(
    name: str, train: ImageDataset, test: ImageDataset | None, cache_dir: Path, device: torch.device
) -> Classifier:
    """The classifier of the data set `name`, from the cache, or trained now.

    Its accuracy is taken on `test`, or where there is none on a tenth of `train` that it is not trained on.
    Raises ConfigError for a data set without classes.
    """
    if train.shape.class_count < 2:
        raise ConfigError(
            "scores need a data set with classes, for the network that they are taken with: sort its images into a "
            "folder for each class, or take features=inception."
        )
    if test is None:
        held = max(len(train) // 10, 1)
        train, test = train[held:], train[:held]
    path = cache_dir / f"features-{name}-{fingerprint(train)}-{fingerprint(test)}.pt"
    network = Classifier(train.shape)
    with files.exclusive(path):
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            network.load_state_dict(kept["weights"])
        except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError):  # none yet, or damaged
            network = train_classifier(train, device)
            weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
            kept = {"weights": weights, "accuracy": accuracy(network, test, device), "seed": SEED}
            with (
                contextlib.suppress(OSError),
                files.atomic_write(path) as file,
            ):  # a cache that cannot be kept is no loss
                torch.save(kept, file)
    size = train.shape
    network.name = f"{name}-{size.size}x{size.size}x{size.channels}-{hash_weights(kept['weights'])}"
    network.accuracy = kept["accuracy"]
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def train_classifier(train: ImageDataset, device: torch.device) -> Classifier:
    """Train a classifier, from SEED alone: Adam with one cycle of the learning rate, and images that are shifted."""
    log.info("training the network that scores are taken with, once for this data set")
    began = time.perf_counter()
    randomness.reseed(device, SEED, "features")
    network = Classifier(train.shape).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    steps = max(len(train) // BATCH, 1) * EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    stream = randomness.random_generator("cpu", SEED, "feature batches")
    for _ in tqdm(range(steps), unit="step", disable=None, dynamic_ncols=True):
        chosen = torch.randint(len(train), (min(BATCH, len(train)),), generator=stream)
        images = random_shift(train.images[chosen].to(device), stream)
        loss = F.cross_entropy(network(images)[1], train.labels[chosen].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    network.standard.reset_running_stats()
    network.standard.train()
    with torch.no_grad():
        for images in train.images.split(512):
            if len(images) > 1:
                network(images.to(device))
    log.info("trained it in %.0f seconds", time.perf_counter() - began)
    return network.eval()


def random_shift(images: Tensor, stream: torch.Generator) -> Tensor:
    """All of a batch (B, C, H, W) moved by the same few pixels; its edge is repeated."""
    furthest = max(images.shape[2] // 14, 1)
    down, right = torch.randint(0, 2 * furthest + 1, (2,), generator=stream).tolist()
    side = images.shape[2]
    padded = F.pad(images.float(), [furthest] * 4, mode="replicate")
    return padded[:, :, down : down + side, right : right + side]


@torch.no_grad()
def accuracy(network: Classifier, images: ImageDataset, device: torch.device) -> float:
    """Share of `images` whose class the network names."""
    network.eval()
    right = sum(
        (network(images.to(device))[1].argmax(1).cpu() == labels).sum().item()
        for images, labels in zip(images.images.split(512), images.labels.split(512), strict=True)
    )
    return right / len(images)


def fingerprint(images: ImageDataset) -> str:
    """Tells data sets apart by what is in them."""
    digest = hashlib.blake2b(digest_size=4)
    labels = [] if images.labels is None else [images.labels]
    for part in (*images.images.split(4096), *labels):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def hash_weights(weights: dict[str, Any]) -> str:
    """Tells networks apart by their weights."""
    digest = hashlib.blake2b(digest_size=4)
    for name, tensor in weights.items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
