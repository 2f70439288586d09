"""`gan.metrics.fid` on images in somebody else's program."""

import numpy as np
import pytest
import torch

from gan import metrics
from gan.config.errors import ConfigError


def images_of(*points):
    """Gray images of 2x2 whose first row has these values."""
    pixels = torch.zeros(len(points), 1, 2, 2, dtype=torch.uint8)
    pixels[:, 0, 0] = torch.tensor(points, dtype=torch.uint8)
    return pixels


def first_row(images):
    return images[:, 0, 0].float()


# Means (1, 2) and (5, 3), covariances diag(4/3, 16/3) and diag(12, 4/3), since values are independent.
ONE = images_of((0, 0), (0, 4), (2, 0), (2, 4))
OTHER = images_of((2, 2), (2, 4), (8, 2), (8, 4))
EXPECTED = (5 - 1) ** 2 + (3 - 2) ** 2 + (12**0.5 - (4 / 3) ** 0.5) ** 2 + ((4 / 3) ** 0.5 - (16 / 3) ** 0.5) ** 2


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_it_is_the_frechet_distance_of_the_features(batch_size):
    assert metrics.fid(ONE, OTHER, first_row, batch_size=batch_size) == pytest.approx(EXPECTED, rel=1e-9)
    assert metrics.fid(ONE.numpy(), OTHER.numpy(), first_row) == pytest.approx(EXPECTED, rel=1e-9)
    assert metrics.fid(ONE, ONE, first_row) == pytest.approx(0, abs=1e-6)


def test_the_reference_may_be_a_file_of_statistics(tmp_path):
    np.savez(tmp_path / "x.npz", mu=np.array([5.0, 3.0]), sigma=np.diag([12, 4 / 3]))
    assert metrics.fid(ONE, tmp_path / "x.npz", first_row) == pytest.approx(EXPECTED, rel=1e-9)
    np.savez(tmp_path / "y.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(ValueError, match="3 features"):
        metrics.fid(ONE, tmp_path / "y.npz", first_row)


@pytest.mark.parametrize(
    ("images", "reference", "words"),
    [
        (ONE.float() / 255, OTHER, "images.*uint8"),
        (ONE, OTHER[0], r"reference.*\(N, C, H, W\)"),
        (ONE.permute(0, 2, 3, 1), OTHER, "images.*1 or 3 channels"),
        (ONE[:1], OTHER, "images: 1 images"),
        (ONE, OTHER.expand(-1, 3, -1, -1), r"\(1, 2, 2\).*\(3, 2, 2\)"),
    ],
)
def test_what_is_no_set_of_images_is_a_value_error(images, reference, words):
    with pytest.raises(ValueError, match=words):
        metrics.fid(images, reference, first_row)


def test_features_of_another_form_are_a_value_error():
    with pytest.raises(ValueError, match=r"\(B, d\)"):
        metrics.fid(ONE, OTHER, lambda images: images.float())


def test_a_file_that_cannot_be_used_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="features="):
        metrics.fid(ONE, OTHER, tmp_path / "nowhere.pth")
    with pytest.raises(ConfigError, match="mu and sigma"):
        metrics.fid(ONE, tmp_path / "nowhere.npz", first_row)


def test_importing_it_imports_no_torch(process):
    done = process("-c", "import sys, gan.metrics; gan.metrics.fid; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr
