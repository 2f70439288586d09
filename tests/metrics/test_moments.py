"""Means and covariances in files: as others write and read them, and what is none."""

import math

import numpy as np
import pytest
import torch

from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.metrics import moments
from gan.metrics.features import FeatureNetwork
from gan.metrics.moments import MomentsReference, frechet_distance, read_moments, write_moments
from tests.metrics.conftest import CPU, stats_of


def test_what_is_written_is_what_numpy_computes_and_others_read(tmp_path):
    points = torch.randn(500, 3) * torch.tensor([1.0, 2.0, 3.0]) + 5
    path = tmp_path / "stats.npz"
    write_moments(path, stats_of(points), "any-1234")
    with np.load(path) as archive:  # as pytorch-fid does
        mean, covariance = archive["mu"][:], archive["sigma"][:]
    assert mean.dtype == covariance.dtype == np.float64
    assert np.allclose(mean, points.double().mean(0)) and np.allclose(covariance, np.cov(points.double().T))
    read = read_moments(path, "stats=x")
    assert read.features == "any-1234" and read.name.startswith("stats.npz-")
    assert abs(frechet_distance(read, stats_of(points))) < 1e-6


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_of_others_are_read_whatever_else_they_have(tmp_path, save, dtype):
    mean, covariance = np.arange(4, dtype=dtype), np.diag(np.arange(1, 5).astype(dtype))
    save(tmp_path / "cifar10.npz", mu=mean, sigma=covariance, feats=np.zeros((7, 4)))
    read = read_moments(tmp_path / "cifar10.npz", "stats=x")
    assert read.mean.tolist() == [0, 1, 2, 3] and read.covariance.diag().tolist() == [1, 2, 3, 4]
    assert read.mean.dtype == torch.float64 and read.features == ""


def test_the_frechet_distance_is_that_of_the_formula():
    one = moments.Moments(torch.tensor([0.0, 3.0]).double(), torch.tensor([[4.0, 0.0], [0.0, 9.0]]).double(), "", "")
    other = moments.Moments(torch.tensor([4.0, 0.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 25.0]]).double(), "", "")
    assert frechet_distance(one, other) == pytest.approx(16 + 9 + (2 - 1) ** 2 + (3 - 5) ** 2)
    turned = one._replace(covariance=torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double())  # eigenvalues 1 and 3
    unit = one._replace(covariance=torch.eye(2).double())
    assert frechet_distance(turned, unit) == pytest.approx((1 - 1) ** 2 + (math.sqrt(3) - 1) ** 2)


MEAN, COVARIANCE = np.zeros(3), np.eye(3)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"mean": MEAN, "cov": COVARIANCE}, "mean, cov: must have mu and sigma"),
        ({"mu": MEAN}, "must have mu and sigma"),
        ({"images": np.zeros((2, 8, 8), np.uint8)}, "images: must have mu and sigma"),
        ({"mu": MEAN, "sigma": np.eye(2)}, r"\(3,\).*\(2, 2\)"),
        ({"mu": MEAN[None], "sigma": COVARIANCE}, r"\(1, 3\)"),
        ({"mu": MEAN, "sigma": COVARIANCE * np.nan}, "finite"),
        ({"mu": MEAN, "sigma": COVARIANCE.astype(str)}, "finite numbers"),
        ({"mu": MEAN, "sigma": COVARIANCE.astype(object)}, "cannot be read"),
    ],
    ids=str,
)
def test_arrays_of_another_form_are_a_config_error(tmp_path, arrays, words):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ConfigError, match=f"stats=x.*{words}"):
        read_moments(tmp_path / "x.npz", "stats=x")


@pytest.mark.parametrize("kind", ["missing", "garbage", "empty", "cut", "changed", "npy", "folder"])
def test_a_damaged_file_is_a_config_error(tmp_path, kind):
    path = tmp_path / "x.npz"
    np.savez(path, mu=MEAN, sigma=COVARIANCE)
    content = path.read_bytes()
    path.unlink()
    if kind == "npy":
        np.save(tmp_path / "x.npy", MEAN)
        (tmp_path / "x.npy").rename(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        changed = content.replace(b"NUMPY", b"PYTHN")
        path.write_bytes({"garbage": b"x" * 99, "empty": b"", "cut": content[:-40], "changed": changed}[kind])
    with pytest.raises(ConfigError, match=r"stats=x.*mu and sigma"):
        read_moments(path, "stats=x")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", mu=MEAN, sigma=np.zeros((1000, 1000)))
    monkeypatch.setattr(moments, "MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(ConfigError, match="too large"):
        read_moments(tmp_path / "x.npz", "stats=x")


class Network(FeatureNetwork):
    """The mean of each channel as features."""

    name, accuracy, column = "means-1234", None, "means"

    def forward(self, images):
        return images.float().mean((2, 3)), images.new_empty(len(images), 0)


def reference(dim=3, features=""):
    found = moments.Moments(torch.zeros(dim).double(), torch.eye(dim).double(), "x.npz-1", features)
    return MomentsReference(found, Network(), CPU, ImageShape(3, 8), "stats=x.npz")


def test_moments_have_the_fid_alone_and_say_so_in_the_protocol():
    goal = reference(features="means-1234")
    images = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8)
    assert list(goal.score(goal.feature_stats(images.split(50)), True, 0.5)) == ["fid_means"]
    assert goal.real_data_baseline(100, True, None) == {}
    assert goal.record(200) == {
        "dataset": "x.npz-1",
        "features": "means-1234",
        "accuracy": None,
        "generated": 200,
        "real": None,
        "split": None,
    }


@pytest.mark.parametrize(
    ("options", "words"), [({"dim": 2048}, "2048 features.*has 3"), ({"features": "inception"}, "inception.*means")]
)
def test_moments_of_other_features_are_a_config_error(options, words):
    with pytest.raises(
        ConfigError, match=f"x.npz has statistics of {'the features ' if 'dim' not in options else ''}{words}"
    ):
        reference(**options)
