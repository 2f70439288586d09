"""Formulas with values computed by hand, and the published Parzen estimate of real MNIST."""

import math
import re

import pytest
import torch

from gan.data import datasets
from gan.metrics import formulas
from tests.conftest import REAL_DATA, ROOT

needs_mnist = pytest.mark.skipif(not (REAL_DATA / "MNIST").exists(), reason="needs the real MNIST in GAN_DATA")


def test_density_and_coverage_by_hand(monkeypatch):
    monkeypatch.setattr(formulas, "NEIGHBORS", 1)
    real = torch.tensor([[0.0], [1.0], [10.0], [12.0]])  # balls of radius 1, 1, 2 and 2
    generated = torch.tensor([[0.5], [0.6], [10.5], [50.0]])
    density, coverage = formulas.density_and_coverage(generated, real)
    assert density == (2 + 2 + 2 + 0) / 4  # the number of balls that each image lies in
    assert coverage == 1
    assert formulas.density_and_coverage(generated[:2], real)[1] == 0.5


def test_parzen_is_the_mean_log_density():
    centers = torch.zeros(4, 1, 1, 2, dtype=torch.uint8)
    test = torch.tensor([[[[0, 0]]], [[[255, 0]]]], dtype=torch.uint8)
    mean, error, width = formulas.parzen(centers, centers, test)
    assert width == pytest.approx(0.1)  # the narrowest is best where validation images are the centers
    at_center = -math.log(2 * math.pi * width**2)
    assert mean == pytest.approx(at_center - 1 / (2 * width**2) / 2)
    assert error == pytest.approx(1 / (2 * width**2) / math.sqrt(2) / math.sqrt(2))


def mnist(split):
    return datasets.mnist(REAL_DATA, REAL_DATA, split, limit=None, image_size=None)


@needs_mnist
@pytest.mark.slow
def test_parzen_of_real_images_is_as_published():
    train, test = mnist("train").images, mnist("test").images
    indices = torch.randperm(50_000, generator=torch.Generator().manual_seed(0))[:10_000]
    estimate = formulas.parzen(train[indices], train[50_000:], test)
    assert estimate.mean == pytest.approx(242.7, abs=0.5) and estimate.error == pytest.approx(2.1, abs=0.1)


@needs_mnist
def test_the_threshold_for_visible_digits_is_the_parzen_estimate_of_the_ten_mean_digits():
    train, test = mnist("train"), mnist("test")
    means = torch.stack([train.images[train.labels == digit].float().mean(0) for digit in range(10)])
    estimate = formulas.parzen(means.round().to(torch.uint8), train.images[50_000:], test.images)
    claims = (ROOT / "gan" / "report" / "claims" / "blog" / "log_tanh.yaml").read_text("utf-8")
    (threshold,) = re.findall(r"parzen: {at_least: ([\d.]+)", claims)
    assert estimate.mean == pytest.approx(float(threshold), abs=0.05)


def test_the_nearest_image_is_found():
    real = torch.randint(0, 256, (5000, 1, 64, 64), dtype=torch.uint8)  # two blocks
    indices = torch.tensor([4999, 0, 4096])
    assert torch.equal(formulas.nearest_neighbors(real[indices], real), indices)


def test_similarity_in_pixels_is_the_correlation_after_averaging():
    real = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    real[0, 0, :2, :2], real[1, 0, 2:, 2:], real[2, 0, :2] = 200, 100, 50
    speckled = real[:1].clone()
    speckled[0, 0, 0, 0], speckled[0, 0, 1, 1] = 100, 100  # brightness 150 in place of 200: the same after scaling
    generated = torch.cat([speckled, 255 - real[:1], torch.full((1, 1, 4, 4), 7, dtype=torch.uint8)])
    similarity, indices = formulas.most_similar(generated, real)
    assert similarity.tolist() == pytest.approx([1, 1 / 3, 0], abs=1e-6) and indices[:2].tolist() == [0, 1]
    # the first and the third have a correlation of 1 / sqrt(3), the second at most -1 / 3 with another
    lowest, middle = -1 / 3, 3**-0.5
    assert formulas.usual_similarity(real).item() == pytest.approx(lowest + 0.2 * (middle - lowest), abs=1e-6)


@needs_mnist
def test_the_second_reader_knows_speckled_digits_from_noise_where_the_features_do_not():
    train, test = mnist("train"), mnist("test")
    random = torch.Generator().manual_seed(0)
    speckled = train.images[:300].clone()
    dots = torch.rand(speckled.shape, generator=random) < 0.05
    speckled[dots] = 255
    cloud = (torch.rand((1, 1, 28, 28), generator=random) < 0.3).to(torch.uint8).mul(255)
    needed = formulas.usual_similarity(test.images[:3000])

    def fraction(images):
        return (formulas.most_similar(images, test.images[:3000])[0] >= needed).double().mean().item()

    assert fraction(train.images[:300]) == pytest.approx(0.9, abs=0.06)
    assert fraction(speckled) > 0.5 and fraction(cloud) == 0
