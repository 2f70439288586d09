"""Networks in files: Inception's weights, TorchScripts, and what is neither."""

import hashlib
import io
import os
import pickle
import re

import numpy as np
import pytest
import torch
import torch_fidelity
from PIL import Image
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from gan import metrics
from gan.config.errors import ConfigError
from gan.metrics import network_files
from gan.metrics.comparison import FeatureStats
from gan.metrics.network_files import Inception, load_network
from tests.metrics.conftest import CPU, save_script


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with random weights of Inception, with which features have a usual size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3("any", ["2048"])
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    path = tmp_path_factory.mktemp("weights") / "Random Weights.pth"
    torch.save(network.state_dict(), path)
    return path


def color_images(count, seed, size=24):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256 - 100 * seed, (count, 3, size, size), generator=generator).to(torch.uint8)


@pytest.mark.slow
def test_the_fid_on_files_of_images_is_that_of_torch_fidelity(weights, tmp_path):
    sets = {name: color_images(6, seed) for seed, name in enumerate(("one", "other"))}
    for name, images in sets.items():
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name / f"{number}.png")
    options = {"cuda": False, "cache": False, "verbose": False, "save_cpu_ram": True}
    theirs = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "one"),
        input2=str(tmp_path / "other"),
        fid=True,
        feature_extractor_weights_path=str(weights),
        **options,
    )["frechet_inception_distance"]
    ours = metrics.fid(sets["one"], sets["other"], features=weights)
    assert theirs > 0.1 and ours == pytest.approx(theirs, rel=1e-3)


def test_features_and_logits_are_those_of_torch_fidelity(weights, monkeypatch):
    images, layers = color_images(1, 0), ["2048", "logits_unbiased"]
    theirs = FeatureExtractorInceptionV3("any", layers, feature_extractor_weights_path=str(weights))(images)
    monkeypatch.setitem(network_files.KNOWN, hashlib.sha256(weights.read_bytes()).hexdigest(), "inception")
    network = load_network(str(weights), trust=False)
    for ours, expected in zip(network(images), theirs, strict=True):
        assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert (network.name, network.column) == ("inception-v3-compat", "inception")


def test_other_weights_have_columns_of_their_own_and_no_classes(weights, caplog):
    network = load_network(str(weights), trust=False)
    assert network.name.startswith("random_weights-") and network.column.startswith("random_weights_")
    assert network.column in caplog.text
    gray = color_images(1, 0)[:, :1]
    features, logits = network(gray)
    assert features.shape == (1, 2048) and logits.shape == (1, 0)
    stats = FeatureStats(network, [gray], CPU)
    assert not len(stats.class_counts)


def test_weights_in_the_format_before_torch_1_6_are_read(weights, tmp_path):
    state = torch.load(weights)
    old = tmp_path / "old.pth"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    loaded = load_network(str(old), trust=False).network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_failed_download_of_inception_is_a_config_error(monkeypatch, tmp_path):
    monkeypatch.setattr(feature_extractor_inceptionv3, "URL_INCEPTION_V3", "http://127.0.0.1:9/weights.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="features=inception"):
        Inception()


class Trap:
    """What runs a program where its pickle is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def no_network(kind, trap):
    """The content of a file that is none."""
    file = io.BytesIO()
    if kind == "other keys":
        torch.save({"weight": torch.zeros(3)}, file)
    elif kind == "tensor":
        torch.save(torch.zeros(3), file)
    elif kind == "pickle":
        file.write(pickle.dumps(Trap(trap)))
    elif kind == "torch pickle":
        torch.save({"weight": Trap(trap)}, file)
    elif kind == "npz":
        np.savez(file, mu=np.zeros(3))
    return file.getvalue() or b"garbage"


@pytest.mark.parametrize("kind", ["other keys", "tensor", "pickle", "torch pickle", "npz", "garbage"])
def test_a_file_that_is_no_network_is_a_config_error_and_runs_no_code(tmp_path, kind):
    path = tmp_path / "file.pth"
    path.write_bytes(no_network(kind, tmp_path / "trap"))
    for trust in (False, True):
        with pytest.raises(ConfigError, match=r"file\.pth is neither"):
            load_network(str(path), trust)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("name", ["vgg", "own", ""])
def test_a_missing_file_and_a_folder_are_config_errors(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"features={name}.*classifier, inception"):
        load_network(name, trust=False)


class Means(nn.Module):
    def forward(self, images):
        return images.float().mean((2, 3))


class LikeStyleGAN(nn.Module):
    """Its published Inception returns probabilities, unless features are asked for."""

    def forward(self, images, return_features: bool = False):
        features = images.float().mean((2, 3))
        return features if return_features else features.softmax(1)


class Sums(nn.Module):
    def forward(self, images):
        return images.sum()


def test_a_torchscript_needs_trust_and_gives_features_of_gray_and_color_images(tmp_path):
    path = save_script(Means(), tmp_path / "my net.pt")
    with pytest.raises(ConfigError, match="trust=true"):
        load_network(str(path), trust=False)
    network = load_network(str(path), trust=True)
    assert network.column.startswith("my_net_") and network.accuracy is None
    images = color_images(70, 0, size=8)  # more than a batch
    features, logits = network(images)
    assert torch.allclose(features, images.float().mean((2, 3))) and logits.shape == (70, 0)
    assert network(images[:, :1])[0].shape == (70, 3)


def test_a_torchscript_that_can_return_features_is_asked_for_them(tmp_path):
    network = load_network(str(save_script(LikeStyleGAN(), tmp_path / "inception.pt")), trust=True)
    images = color_images(3, 0, size=8)
    assert torch.allclose(network(images)[0], images.float().mean((2, 3)))


@pytest.mark.parametrize(
    ("stem", "start"), [("日本", "file"), ("x" * 200, "x" * 16), ("../Ä b--c", "b_c"), ("$(rm)\x1b[31m", "rm_31m")]
)
def test_names_of_files_are_plain_in_columns(tmp_path, stem, start):
    path = save_script(Means(), tmp_path / f"{stem.removeprefix('../')}.pt")
    network = load_network(str(path), trust=True)
    assert re.fullmatch(rf"{start}_[0-9a-f]{{8}}", network.column)
    assert re.fullmatch(r"[a-z0-9_]{1,60}-[0-9a-f]{8}", network.name)


@pytest.mark.parametrize("kind", ["scalar", "damaged"])
def test_a_torchscript_that_gives_no_features_is_a_config_error(tmp_path, kind):
    path = save_script(Sums(), tmp_path / "sums.pt")
    if kind == "damaged":
        content = bytearray(path.read_bytes())
        place = content.find(b"PK\x03\x04", 100)
        content[place + 60 : place + 200] = bytes(140)
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"sums\.pt"):
        load_network(str(path), trust=True)(color_images(2, 0))
