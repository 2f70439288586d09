"""Feature networks: trained once, named after their weights, and standardized."""

import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3

from gan.config.errors import ConfigError
from gan.data.datasets import ImageDataset
from gan.data.image_shape import ImageShape
from gan.metrics import features
from gan.metrics.comparison import FeatureStats
from gan.metrics.features import Classifier, PerChannel
from tests.metrics.conftest import CPU


def test_a_classifier_is_trained_once_and_named_after_its_weights(digits, monkeypatch):
    train, test, network, folder = digits
    assert network.accuracy > 0.9
    assert network.name == f"digits-28x28x1-{features.hash_weights(network.state_dict())}"
    monkeypatch.setattr(features, "train_classifier", None)  # training again would fail
    again = features.dataset_classifier("digits", train, test, folder, CPU)
    assert again.name == network.name and again.accuracy == network.accuracy
    images = train.images[:5]
    assert all(torch.equal(a, b) for a, b in zip(again(images), network(images), strict=True))


def test_features_are_standardized_over_the_training_images(digits):
    train, _, network, _ = digits
    stats = FeatureStats(network, train.images.split(256), CPU)
    assert stats.mean.abs().max() < 0.02 and (stats.covariance.diag() - 1).abs().max() < 0.05


def test_a_damaged_classifier_is_trained_again(digits, monkeypatch):
    train, test, network, folder = digits
    (path,) = folder.glob("features-*.pt")
    content = path.read_bytes()
    monkeypatch.setattr(features, "EPOCHS", 1)
    for damaged in (b"", content[: len(content) // 2]):
        path.write_bytes(damaged)
        other = features.dataset_classifier("digits", train, test, folder, CPU)
        assert other.name != network.name
    path.write_bytes(content)


def test_the_same_images_give_the_same_classifier(digits, monkeypatch):
    train = digits[0]
    monkeypatch.setattr(features, "EPOCHS", 1)
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


def test_a_failed_download_of_inception_is_a_config_error(monkeypatch, tmp_path):
    monkeypatch.setattr(feature_extractor_inceptionv3, "URL_INCEPTION_V3", "http://127.0.0.1:9/weights.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="features=inception"):
        features.Inception()


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
    images = ImageDataset(torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 2)
    network = features.dataset_classifier("any", images, images, tmp_path, CPU)
    assert features.dataset_classifier("any", images, images, tmp_path, CPU).name == network.name
    (path,) = tmp_path.glob("features-*.pt")
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
