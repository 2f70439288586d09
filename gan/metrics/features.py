"""Feature networks: images are compared by their features in one of these.

The classifiers of the drawn digits and of MNIST come with this project, so that scores agree between machines. Another
dataset with labels gets one that is trained here in a few minutes and kept in the cache. A name ends in a hash of the
weights, since only scores of the same classifier can be compared.
"""

import contextlib
import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from gan.config.errors import ConfigError
from gan.data.datasets import ImageDataset
from gan.data.image_shape import ImageShape
from gan.metrics.catalogue import POINTS
from gan.system import locks, randomness
from gan.system.cache import from_cache
from gan.system.tensor_files import load_tensors

log = logging.getLogger(__name__)
FEATURE_DIM = 128
EPOCHS, MIN_STEPS, BATCH_SIZE, LEARNING_RATE = 4, 600, 128, 2e-3
MIN_ACCURACY = 0.5  # below it, the features say little about the images
SEED = 0
SHIPPED = Path(__file__).parent / "networks"  # made by `python -m gan.metrics.make_networks`


class FeatureNetwork(nn.Module):
    """Images uint8 (B, C, H, W) to features (B, d) and class logits (B, K), where K is 0 for a network without classes.

    Attributes:
        name: identifies the weights.
        accuracy: on images that it was not trained on; None where the classes are not the dataset's.
        column: what columns call its features, as in `fid_inception`; None: by the name of the dataset.
    """

    name: str
    accuracy: float | None
    column: str | None = None


class Classifier(FeatureNetwork):
    """A small convolutional classifier with features (B, 128).

    Each feature has mean 0 and variance 1 over the training images, so that scores of different datasets have the
    same order of magnitude.
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
        self.features = nn.Linear(16 * 128, FEATURE_DIM)
        self.logits = nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(FEATURE_DIM, image.class_count))
        self.standard = nn.BatchNorm1d(FEATURE_DIM, affine=False, momentum=None)  # None: a mean over all batches

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(self.maps(images.float() / 127.5 - 1))
        return self.standard(features), self.logits(features)


class Coordinates(FeatureNetwork):
    """Points (B, d) as features of their own, without classes. What is not finite is far away."""

    def __init__(self) -> None:
        super().__init__()
        self.name = self.column = POINTS
        self.accuracy = None

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        largest = torch.finfo(points.dtype).max
        return points.nan_to_num(largest, largest, -largest), points.new_zeros(len(points), 0)


class PerChannel(FeatureNetwork):
    """A classifier of gray images, applied to each channel of stacked MNIST.

    Features are concatenated. The classes are all combinations, in which the first channel's class changes last.
    """

    def __init__(self, network: Classifier, channels: int) -> None:
        super().__init__()
        self.network, self.accuracy = network, network.accuracy
        self.name = f"{channels}x{network.name}"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        count, channels = images.shape[:2]
        features, logits = self.network(images.reshape(count * channels, 1, *images.shape[2:]))
        combined = torch.zeros(count, 1, device=images.device)
        for log_probabilities in logits.log_softmax(1).view(count, channels, -1).unbind(1):
            combined = (combined[:, :, None] + log_probabilities[:, None]).flatten(1)
        return features.view(count, -1), combined


def dataset_classifier(
    name: str, train: ImageDataset, test: ImageDataset | None, cache_dir: Path, device: torch.device
) -> Classifier:
    """The classifier of the dataset `name`, from the cache, or trained now.

    Its accuracy is measured on `test`, or without it on a tenth of `train` that it is not trained on.
    Raises ConfigError for a dataset without classes, or whose classes the network does not tell apart.
    """
    image = train.shape
    assert isinstance(image, ImageShape)
    if image.class_count < 2:
        raise ConfigError(
            f"features=classifier: {name} has no classes to train the classifier on; sort the images into one folder "
            "per class, or use features=inception."
        )
    if network := load_shipped(name, image):
        return prepare(network, device)
    if test is None:
        test_count = max(len(train) // 10, 1)
        train, test = train[test_count:], train[:test_count]
    path = cache_dir / f"classifier-{name}-{fingerprint(train)}-{fingerprint(test)}.pt"

    def read(path: Path) -> dict[str, Any]:
        state = load_tensors(path)
        Classifier(image).load_state_dict(state["weights"])
        return state | {"accuracy": float(state["accuracy"])}

    def make() -> dict[str, Any]:
        network = train_classifier(train, device)
        weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        return {"weights": weights, "accuracy": measure_accuracy(network, test, device), "seed": SEED}

    with locks.exclusive(path):
        state = from_cache(path, read, make, torch.save)
    if state["accuracy"] < MIN_ACCURACY:
        raise ConfigError(
            f"features=classifier: the classifier of {name} is right for {state['accuracy']:.0%} of the images that it "
            f"was not trained on, and scores need {MIN_ACCURACY:.0%}: use more images per class, or features=inception."
        )
    network = Classifier(image)
    network.load_state_dict(state["weights"])
    network.accuracy, network.name = state["accuracy"], network_name(name, image, state["weights"])
    return prepare(network, device)


def network_name(name: str, image: ImageShape, weights: dict[str, Tensor]) -> str:
    """Dataset, shape of the images, and a hash of the weights."""
    return f"{name}-{image.size}x{image.size}x{image.channels}-{hash_weights(weights)}"


def prepare(network: Classifier, device: torch.device) -> Classifier:
    """The network on `device`, for features only."""
    return network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def load_shipped(name: str, image: ImageShape) -> Classifier | None:
    """The classifier that comes with this project for the dataset `name` in its own size; None where there is none."""
    path = SHIPPED / f"{name}.safetensors"
    if not path.exists() or image != ImageShape(1, 28, 10):
        return None
    weights, network = load_file(path), Classifier(image)
    network.accuracy = weights.pop("accuracy").item()
    network.load_state_dict(weights)
    network.name = network_name(name, image, network.state_dict())
    return network


def find_classifier(name: str, image: ImageShape, cache_dir: Path, device: torch.device) -> Classifier | None:
    """The classifier of a dataset that comes with this project, or the newest in the cache; None without one.

    Not of dataset=image_folder, whose name does not say which images it was trained on.
    """
    if network := load_shipped(name, image):
        return prepare(network, device)
    paths = cache_dir.glob(f"classifier-{name}-*.pt") if name != "image_folder" and image.class_count > 1 else ()
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, RuntimeError):  # damaged, or of another size
            network = Classifier(image)
            network.load_state_dict(state := load_tensors(path)["weights"])
            network.name = network_name(name, image, state)
            return prepare(network, device)
    return None


def train_classifier(train: ImageDataset, device: torch.device) -> Classifier:
    """Train a classifier on shifted images, with Adam and one cycle of the learning rate. Only SEED sets the result."""
    assert train.labels is not None
    log.info("training the classifier whose features metrics use, once for this dataset")
    began = time.perf_counter()
    randomness.reseed(device, SEED, "features")
    assert isinstance(train.shape, ImageShape)
    network = Classifier(train.shape).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    steps = max(len(train) // BATCH_SIZE * EPOCHS, MIN_STEPS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=steps)
    generator = randomness.random_generator("cpu", SEED, "feature batches")
    for _ in tqdm(range(steps), unit="step", disable=None, dynamic_ncols=True):
        indices = torch.randint(len(train), (min(BATCH_SIZE, len(train)),), generator=generator)
        images = random_shift(train.images[indices].to(device), generator)
        loss = F.cross_entropy(network(images)[1], train.labels[indices].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    compute_statistics(network, train.images, device)
    log.info("trained it in %.0f seconds", time.perf_counter() - began)
    return network


@torch.no_grad()
def compute_statistics(network: Classifier, images: Tensor, device: torch.device) -> None:
    """Set the statistics of all BatchNorm layers to those of `images`: first of the maps, then of the features."""
    network.eval()
    for layers in (network.maps, network.standard):
        norms = [layer for layer in layers.modules() if isinstance(layer, _BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a mean over all batches
            norm.train()
        for batch in images.split(512):
            if len(batch) > 1:
                network(batch.to(device))
        network.eval()


def random_shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift all images of a batch (B, C, H, W) by the same few pixels, and repeat their edges."""
    size = images.shape[2]
    max_shift = max(size // 14, 1)
    down, right = torch.randint(0, 2 * max_shift + 1, (2,), generator=generator).tolist()
    padded = F.pad(images.float(), [max_shift] * 4, mode="replicate")
    return padded[:, :, down : down + size, right : right + size]


@torch.no_grad()
def measure_accuracy(network: Classifier, dataset: ImageDataset, device: torch.device) -> float:
    """Fraction of the images that the network classifies correctly."""
    assert dataset.labels is not None
    network.eval()
    predictions = torch.cat([network(images.to(device))[1].argmax(1).cpu() for images in dataset.images.split(512)])
    return (predictions == dataset.labels).sum().item() / len(dataset)


def fingerprint(dataset: ImageDataset) -> str:
    """Hash of the images and labels."""
    digest = hashlib.blake2b(digest_size=4)
    labels = [] if dataset.labels is None else [dataset.labels]
    for part in (*dataset.images.split(4096), *labels):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def hash_weights(weights: dict[str, Any]) -> str:
    """Hash of a network's parameters and buffers."""
    digest = hashlib.blake2b(digest_size=4)
    for name, tensor in weights.items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
