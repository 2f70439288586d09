"""Feature networks: trained once, named after their weights, and standardized."""

import pytest
import torch

from gan.config.errors import ConfigError
from gan.data import datasets
from gan.data.datasets import ImageDataset
from gan.data.image_shape import ImageShape
from gan.metrics import features
from gan.metrics.comparison import FeatureStats
from gan.metrics.features import Classifier, PerChannel
from tests.metrics.conftest import CPU


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_the_networks_of_digits_and_mnist_come_with_the_project(name, monkeypatch, tmp_path):
    monkeypatch.setattr(features, "train_classifier", None)  # training would fail
    image = ImageShape(1, 28, 10)
    data = ImageDataset(torch.zeros(20, 1, 28, 28, dtype=torch.uint8), torch.arange(20) % 10)
    network = features.dataset_classifier(name, data, data, tmp_path, CPU)
    assert network.accuracy > 0.98 and network.name.startswith(f"{name}-28x28x1-")
    assert (features.SHIPPED / f"{name}.safetensors").stat().st_size < 2 * 10**6 and not [*tmp_path.iterdir()]
    assert features.load_shipped(name, ImageShape(1, 32, 10)) is None
    assert features.load_shipped("mine", image) is None


def test_the_shipped_network_of_the_digits_tells_their_classes_apart(cache):
    test = datasets.digits(cache, cache, "test", count=3000, limit=None, image_size=None)
    network = features.load_shipped("digits", test.shape)
    assert features.measure_accuracy(network, test, CPU) > 0.98
    stats = FeatureStats(network, test.images.split(256), CPU)
    assert stats.mean.abs().max() < 0.2 and (stats.covariance.diag() - 1).abs().max() < 0.5


@pytest.mark.slow
def test_a_small_dataset_has_as_many_steps_as_its_classifier_needs(digits):
    train, test, _, folder = digits
    assert features.dataset_classifier("few", train[:600], test, folder, CPU).accuracy > 0.9


def test_a_classifier_that_does_not_tell_the_classes_apart_gives_no_scores(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "MIN_STEPS", 2)
    images = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8)
    data = ImageDataset(images, torch.arange(200) % 4)
    with pytest.raises(ConfigError, match=r"features=classifier.*50%"):
        features.dataset_classifier("random", data, data.__class__(images.flip(0), data.labels), tmp_path, CPU)


def test_a_classifier_is_trained_once_and_named_after_its_weights(digits, monkeypatch):
    train, test, network, folder = digits
    assert network.accuracy > 0.9
    assert network.name == f"letters-28x28x1-{features.hash_weights(network.state_dict())}"
    monkeypatch.setattr(features, "train_classifier", None)  # training again would fail
    again = features.dataset_classifier("letters", train, test, folder, CPU)
    assert again.name == network.name and again.accuracy == network.accuracy
    images = train.images[:5]
    assert all(torch.equal(a, b) for a, b in zip(again(images), network(images), strict=True))


def test_features_are_standardized_over_the_training_images(digits):
    train, _, network, _ = digits
    stats = FeatureStats(network, train.images.split(256), CPU)
    assert stats.mean.abs().max() < 0.02 and (stats.covariance.diag() - 1).abs().max() < 0.05


def test_a_damaged_classifier_is_trained_again(digits, monkeypatch):
    train, test, network, folder = digits
    (path,) = folder.glob("classifier-letters-*.pt")
    content = path.read_bytes()
    monkeypatch.setattr(features, "EPOCHS", 1)
    monkeypatch.setattr(features, "MIN_STEPS", 20)
    monkeypatch.setattr(features, "MIN_ACCURACY", 0)
    for damaged in (b"", content[: len(content) // 2]):
        path.write_bytes(damaged)
        other = features.dataset_classifier("letters", train, test, folder, CPU)
        assert other.name != network.name
    path.write_bytes(content)


def test_the_same_images_give_the_same_classifier(digits, monkeypatch):
    train = digits[0]
    monkeypatch.setattr(features, "MIN_STEPS", 5)
    one, other = (features.train_classifier(train[:256], CPU).state_dict() for _ in range(2))
    assert features.hash_weights(one) == features.hash_weights(other)
    assert features.fingerprint(train) != features.fingerprint(train[1:])


def test_accuracy_is_the_fraction_of_right_predictions():
    network = Classifier(ImageShape(1, 8, class_count=4))
    network.forward = lambda images: (images, torch.eye(4)[images[:, 0, 0, 0].long()])
    images = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).repeat(200)[:, None, None, None].expand(-1, -1, 8, 8)
    labels = torch.tensor([0, 1, 2, 0]).repeat(200)
    assert features.measure_accuracy(network, ImageDataset(images, labels), CPU) == 0.75


def test_a_dataset_without_classes_has_no_classifier(tmp_path):
    images = ImageDataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ConfigError, match="features=classifier"):
        features.dataset_classifier("mine", images, None, tmp_path, CPU)


def test_a_network_per_channel_knows_all_combinations_of_classes():
    gray = Classifier(ImageShape(1, 8, class_count=10)).eval()
    gray.forward = lambda images: (images.flatten(1)[:, :2].float(), 50 * torch.eye(10)[images[:, 0, 0, 0].long()])
    stacked = PerChannel(gray, 3)
    numbers = torch.arange(1000)
    digits = torch.stack([numbers // 100, numbers // 10 % 10, numbers % 10], dim=1).to(torch.uint8)
    images = digits[:, :, None, None].expand(-1, -1, 8, 8)
    stats = FeatureStats(stacked, images.split(128), CPU)
    assert stats.features.shape == (1000, 6) and (stats.class_counts == 1).all()
    assert torch.equal(stats.logits.argmax(1), numbers)


@pytest.mark.parametrize("change", ["keys", "shape", "no weights", "no accuracy", "list"])
def test_a_classifier_of_another_form_is_trained_again(tmp_path, caplog, monkeypatch, change):
    monkeypatch.setattr(features, "train_classifier", lambda train, device: Classifier(train.shape))
    monkeypatch.setattr(features, "MIN_ACCURACY", 0)
    images = ImageDataset(torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 2)
    network = features.dataset_classifier("any", images, images, tmp_path, CPU)
    assert features.dataset_classifier("any", images, images, tmp_path, CPU).name == network.name
    (path,) = tmp_path.glob("classifier-*.pt")
    state = torch.load(path)
    weights = state["weights"]
    if change == "keys":
        state["weights"] = {f"old.{name}": tensor for name, tensor in weights.items()}
    elif change == "shape":
        state["weights"] = weights | {"features.bias": torch.zeros(3)}
    elif change == "list":
        state = [state]
    else:
        del state[change.removeprefix("no ")]
    torch.save(state, path)
    assert features.dataset_classifier("any", images, images, tmp_path, CPU).name != network.name
    assert path.name in caplog.text


def test_a_classifier_is_found_without_training_where_it_was_shipped_or_cached(tmp_path):
    image = ImageShape(3, 16, 5)
    assert features.find_classifier("digits", ImageShape(1, 28, 10), tmp_path, CPU).name.startswith("digits-28x28x1-")
    assert features.find_classifier("cifar10", image, tmp_path, CPU) is None
    torch.manual_seed(0)
    weights = Classifier(image).state_dict()
    for name in ("cifar10", "image_folder"):
        torch.save({"weights": weights, "accuracy": 0.9, "seed": 0}, tmp_path / f"classifier-{name}-1-2.pt")
    (tmp_path / "classifier-cifar10-3-4.pt").write_bytes(b"damaged")
    torch.save({"weights": Classifier(ImageShape(3, 16, 7)).state_dict()}, tmp_path / "classifier-cifar10-5-6.pt")
    found = features.find_classifier("cifar10", image, tmp_path, CPU)
    assert found.name == f"cifar10-16x16x3-{features.hash_weights(weights)}" and not found.training
    assert features.find_classifier("image_folder", image, tmp_path, CPU) is None
