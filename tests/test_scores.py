"""Scores obey the laws that make them scores."""

import math

import numpy as np
import pytest
import torch

from gan.config.errors import ConfigError
from gan.data import datasets
from gan.data.datasets import ImageDataset
from gan.data.image_shape import ImageShape
from gan.metrics import features, formulas
from gan.metrics.features import Classifier, PerChannel
from gan.report import verdicts
from tests.conftest import REAL_DATA

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Two lots of drawn digits that share no image, and a network trained on them."""
    folder = tmp_path_factory.mktemp("scores")
    train, test = (
        datasets.digits(folder, folder, part, count=3000, limit=None, image_size=None) for part in ("train", "test")
    )
    return train, test, features.dataset_classifier("digits", train, test, folder, CPU), folder


@pytest.fixture(scope="module")
def compared(digits):
    """The scores of some images against half of the real ones; the others stand for a perfect generator."""
    train, _, network, _ = digits

    def look(images):
        return formulas.FeatureStats(network, images.split(256), CPU)

    real = look(train.images[:1500])

    def compare(images):
        seen = look(images)
        return formulas.compare(seen, real) | formulas.class_balance(seen.classes)

    return compare, train[1500:]


@pytest.fixture(scope="module")
def whole(compared):
    """The scores of that perfect generator."""
    compare, other = compared
    return compare(other.images)


def test_other_real_images_score_near_the_floor(whole):
    assert whole["fid"] < 3 and abs(whole["kid"]) < 0.05
    assert whole["precision"] > 0.6 and whole["recall"] > 0.6 and whole["coverage"] > 0.8
    assert whole["density"] == pytest.approx(1, abs=0.25)
    assert whole["modes"] == 10 and whole["class_distance"] < 0.06 and whole["inception_score"] > 7


@pytest.mark.parametrize(("side", "kept"), [(32, 3), (33, 0)])
def test_large_images_are_not_kept_for_a_score_that_they_do_not_get(side, kept):
    images = torch.zeros(3, 3, side, side, dtype=torch.uint8)
    seen = formulas.FeatureStats(
        lambda part: (torch.ones(len(part), 4), torch.ones(len(part), 2)), images.split(2), CPU
    )
    assert len(seen.images) == kept and len(seen.features) == 3


def test_half_of_the_classes_costs_recall_and_coverage_and_not_precision(compared, whole):
    compare, other = compared
    half = compare(other.images[other.labels < 5])
    assert half["fid"] > 5 * whole["fid"] and half["kid"] > 5 * abs(whole["kid"])
    assert half["recall"] < whole["recall"] - 0.2 and half["coverage"] < whole["coverage"] - 0.2
    assert half["precision"] > whole["precision"] - 0.1
    assert half["class_distance"] == pytest.approx(0.5, abs=0.06) and half["kl"] == pytest.approx(math.log(2), abs=0.12)
    assert half["inception_score"] < 0.65 * whole["inception_score"]


def test_noise_costs_precision(compared, whole):
    compare, other = compared
    noise = torch.randn(other.images.shape, generator=torch.Generator().manual_seed(0)) * 120
    noisy = compare((other.images + noise).clamp(0, 255).to(torch.uint8))
    assert noisy["fid"] > 5 * whole["fid"] and noisy["precision"] < whole["precision"] - 0.2


def test_one_image_repeated_costs_everything_but_precision(compared):
    compare, other = compared
    found = compare(other.images[:1].expand(1500, -1, -1, -1))
    assert found["fid"] > 50 and found["recall"] < 0.01 and found["coverage"] < 0.1
    assert (
        found["modes"] == 1
        and found["kl"] == pytest.approx(math.log(10))
        and found["inception_score"] == pytest.approx(1)
    )


def seen_of(points):
    """As if a network had these features (n, d)."""
    return formulas.FeatureStats(lambda part: (part, torch.ones(len(part), 2)), points.split(100), CPU)


def test_fid_is_the_formula():
    stream = np.random.default_rng(0)
    clouds = [stream.normal(size=(1000, 16)) @ stream.normal(size=(16, 16)) + shift for shift in (0.0, 0.5)]
    (m1, c1), (m2, c2) = ((cloud.mean(0), np.cov(cloud, rowvar=False)) for cloud in clouds)
    values, vectors = np.linalg.eigh(c1)
    root = (vectors * np.sqrt(values)) @ vectors.T
    middle = np.sqrt(np.clip(np.linalg.eigvalsh(root @ c2 @ root), 0, None)).sum()
    expected = ((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * middle
    found = formulas.frechet_distance(*(seen_of(torch.from_numpy(cloud)) for cloud in clouds))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_distance_of_two_shifted_clouds_is_the_shift():
    cloud = torch.randn(500, 4, dtype=torch.float64)
    assert formulas.frechet_distance(seen_of(cloud), seen_of(cloud)) == pytest.approx(0, abs=1e-6)
    assert formulas.frechet_distance(seen_of(cloud + 3), seen_of(cloud)) == pytest.approx(4 * 9, rel=1e-6)


def test_only_so_many_images_are_kept_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(formulas, "KEPT", 150)
    points = torch.randn(1000, 3, dtype=torch.float64)
    seen = seen_of(points)
    assert len(seen.features) == len(seen.images) == len(seen.logits) == 150 and torch.equal(
        seen.features, points[:150]
    )
    assert seen.count == 1000 and seen.classes.sum() == 1000
    assert torch.allclose(seen.mean, points.mean(0)) and torch.allclose(seen.covariance, torch.cov(points.T))


def test_density_and_coverage_by_hand(monkeypatch):
    monkeypatch.setattr(formulas, "NEIGHBOURS", 1)
    real = torch.tensor([[0.0], [1.0], [10.0], [12.0]])  # balls of radius 1, 1, 2 and 2
    fake = torch.tensor([[0.5], [0.6], [10.5], [50.0]])
    density, coverage = formulas.density_and_coverage(fake, real)
    assert density == (2 + 2 + 2 + 0) / 4  # how many balls each fake lies in
    assert coverage == 1
    assert formulas.density_and_coverage(fake[:2], real)[1] == 0.5


def test_classes_that_are_all_there_are_at_no_distance():
    found = formulas.class_balance(torch.full((1000,), 26))
    assert found == {
        "modes": 1000,
        "class_distance": pytest.approx(0, abs=1e-12),
        "kl": pytest.approx(0, abs=1e-12),
        "modes_in_100": pytest.approx(1000 * (1 - 0.999**100)),
    }
    found = formulas.class_balance(torch.tensor([3, 1, 0, 0]))
    expected = 0.75 * math.log(3) + 0.25 * math.log(1)
    assert found == {"modes": 2, "class_distance": 0.5, "kl": pytest.approx(expected), "modes_in_100": pytest.approx(2)}


def test_parzen_is_the_mean_log_density():
    centres = torch.zeros(4, 1, 1, 2, dtype=torch.uint8)
    test = torch.tensor([[[[0, 0]]], [[[255, 0]]]], dtype=torch.uint8)
    found = formulas.parzen(centres, centres, test)
    width = 0.1  # the narrowest is best where validation lies on a centre
    at_centre = -math.log(2 * math.pi * width**2)
    assert found["parzen_width"] == pytest.approx(width)
    assert found["parzen"] == pytest.approx(at_centre - 1 / (2 * width**2) / 2)
    assert found["parzen_error"] == pytest.approx(1 / (2 * width**2) / math.sqrt(2) / math.sqrt(2))


@pytest.mark.skipif(not (REAL_DATA / "MNIST").exists(), reason="wants the real MNIST in GAN_DATA")
def test_parzen_of_real_images_is_as_published():
    train, test = (
        datasets.mnist(REAL_DATA, REAL_DATA, part, limit=None, image_size=None).images for part in ("train", "test")
    )
    chosen = torch.randperm(50_000, generator=torch.Generator().manual_seed(0))[:10_000]
    found = formulas.parzen(train[chosen], train[50_000:], test)
    assert found["parzen"] == pytest.approx(242.7, abs=0.5) and found["parzen_error"] == pytest.approx(2.1, abs=0.1)


@pytest.mark.skipif(not (REAL_DATA / "MNIST").exists(), reason="wants the real MNIST in GAN_DATA")
def test_visible_digits_are_as_likely_as_the_ten_mean_ones():
    """The bound of a claim."""
    train, test = (
        datasets.mnist(REAL_DATA, REAL_DATA, part, limit=None, image_size=None) for part in ("train", "test")
    )
    means = torch.stack([train.images[train.labels == digit].float().mean(0) for digit in range(10)])
    found = formulas.parzen(means.round().to(torch.uint8), train.images[50_000:], test.images)
    asked = verdicts.read()["blog/log_tanh"].claims[0].numbers
    assert asked["name"] == "parzen" and found["parzen"] == pytest.approx(asked["at_least"], abs=0.05)


def test_the_nearest_image_is_found():
    real = torch.randint(0, 256, (5000, 1, 64, 64), dtype=torch.uint8)  # two blocks
    chosen = torch.tensor([4999, 0, 4096])
    assert torch.equal(formulas.nearest_neighbors(real[chosen], real), chosen)


def test_a_network_is_trained_once_and_named_after_its_weights(digits, monkeypatch):
    train, test, network, folder = digits
    assert network.accuracy > 0.9
    assert network.name.startswith("digits-28x28x1-") and network.name.endswith(
        features.hash_weights(network.state_dict())
    )
    monkeypatch.setattr(features, "train_classifier", None)  # training again would fail
    again = features.dataset_classifier("digits", train, test, folder, CPU)
    assert again.name == network.name and again.accuracy == network.accuracy
    images = train.images[:5]
    assert all(torch.equal(a, b) for a, b in zip(again(images), network(images), strict=True))


def test_its_features_are_standard_over_what_it_was_trained_on(digits):
    train, _, network, _ = digits
    seen = formulas.FeatureStats(network, train.images.split(256), CPU)
    assert seen.mean.abs().max() < 0.02 and (seen.covariance.diag() - 1).abs().max() < 0.05


def test_a_damaged_network_is_trained_again(digits, monkeypatch):
    train, test, network, folder = digits
    (path,) = folder.glob("features-*.pt")
    whole = path.read_bytes()
    monkeypatch.setattr(features, "EPOCHS", 1)
    for damaged in (b"", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        other = features.dataset_classifier("digits", train, test, folder, CPU)
        assert other.name != network.name
    path.write_bytes(whole)


def test_the_same_images_give_the_same_network(digits, monkeypatch):
    train = digits[0]
    monkeypatch.setattr(features, "EPOCHS", 1)
    one, other = (features.train_classifier(train[:256], CPU).state_dict() for _ in range(2))
    assert features.hash_weights(one) == features.hash_weights(other)
    assert features.fingerprint(train) != features.fingerprint(train[1:])


def test_a_set_without_classes_has_no_network_of_its_own(tmp_path):
    with pytest.raises(ConfigError, match="scores need a data set with classes"):
        features.dataset_classifier(
            "mine", ImageDataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8)), None, tmp_path, CPU
        )


def test_weights_that_cannot_be_downloaded_are_said_in_a_sentence(monkeypatch, tmp_path):
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    monkeypatch.setattr(inception, "URL_INCEPTION_V3", "http://127.0.0.1:9/weights.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="features=inception needs weights that could not be downloaded"):
        features.Inception()


def test_a_network_for_each_channel_knows_all_combinations():
    grey = Classifier(ImageShape(1, 8, class_count=10)).eval()
    grey.forward = lambda images: (images.flatten(1)[:, :2].float(), 50 * torch.eye(10)[images[:, 0, 0, 0].long()])
    stacked = PerChannel(grey, 3)
    numbers = torch.arange(1000)
    digits = torch.stack([numbers // 100, numbers // 10 % 10, numbers % 10], dim=1).to(torch.uint8)
    seen = formulas.FeatureStats(stacked, digits[:, :, None, None].expand(-1, -1, 8, 8).split(128), CPU)
    assert seen.features.shape == (1000, 6) and (seen.classes == 1).all()
    assert formulas.class_balance(seen.classes)["modes"] == 1000


def test_stacked_digits_are_digits_in_each_channel(monkeypatch, tmp_path):
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(-1, -1, 28, 28)
    monkeypatch.setattr(datasets, "load_mnist", lambda *_: (images, torch.arange(10)))
    found = datasets.stacked_mnist(tmp_path, tmp_path, "train", count=500, limit=400, image_size=None)
    assert found.images.shape == (400, 3, 28, 28)
    shown = found.images[:, :, 0, 0].long()
    assert torch.equal(shown @ torch.tensor([100, 10, 1]), found.labels)
    test = datasets.stacked_mnist(tmp_path, tmp_path, "test", count=500, limit=None, image_size=None)
    assert len(test) == 10_000 and not torch.equal(test.labels[:400], found.labels)
    assert all(part.shape.class_count == 1000 for part in (found, test, found[:3]))
    again = datasets.stacked_mnist(tmp_path, tmp_path, "train", count=500, limit=400, image_size=None)
    assert torch.equal(again.images, found.images)
