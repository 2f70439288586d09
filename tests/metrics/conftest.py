"""Digits with their classifier, and comparisons of few points, which have metrics that one can compute by hand."""

import warnings

import pytest
import torch

from gan.data import datasets
from gan.metrics import features
from gan.metrics.comparison import Comparison, FeatureStats

CPU = torch.device("cpu")


def pytest_collection_modifyitems(items):
    """Tests that train a classifier to the end are slow."""
    for item in items:
        if "digits" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def digits(cache):
    """Training and test digits that share no image, a classifier trained on them, and the cache that it is in."""
    folder = cache / "classifier"
    train, test = (
        datasets.digits(folder, folder, split, count=3000, limit=None, image_size=None) for split in ("train", "test")
    )
    return train, test, features.dataset_classifier("letters", train, test, folder, CPU), folder


def stats_of(points, logits=None):
    """The statistics of features (n, d), and of logits (n, K) or of one class."""
    logits = torch.zeros(len(points), 2) if logits is None else logits
    images = torch.arange(len(points)).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)  # each of its index
    return FeatureStats(lambda batch: (points[batch[:, 0, 0, 0]], logits[batch[:, 0, 0, 0]]), images.split(100), CPU)


def compare(generated, real, logits=None, **inputs):
    """The comparison of features (n, d) with real ones (m, d)."""
    return Comparison("mnist", stats_of(generated, logits), stats_of(real), **inputs)


def save_script(module, path):
    """Save a network as a TorchScript for images of any size. Returns the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and still what others publish
        torch.jit.script(module).save(str(path))
    return path
