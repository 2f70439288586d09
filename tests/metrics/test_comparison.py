"""Statistics of features, and metrics on features with values computed by hand."""

import math

import numpy as np
import pytest
import torch

from gan.metrics import catalogue, comparison
from gan.metrics.comparison import Comparison, FeatureStats
from tests.metrics.conftest import CPU, compare, stats_of


def test_only_the_first_images_are_kept_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(comparison, "MAX_KEPT_IMAGES", 150)
    points = torch.randn(1000, 3, dtype=torch.float64)
    stats = stats_of(points)
    assert len(stats.features) == len(stats.images) == len(stats.logits) == 150
    assert torch.equal(stats.features, points[:150])
    assert stats.count == 1000 and stats.class_counts.tolist() == [1000, 0]
    assert torch.allclose(stats.mean, points.mean(0)) and torch.allclose(stats.covariance, torch.cov(points.T))


@pytest.mark.parametrize(("size", "kept"), [(32, 3), (33, 0)])
def test_images_too_large_for_parzen_are_not_kept(size, kept):
    images = torch.zeros(3, 3, size, size, dtype=torch.uint8)
    stats = FeatureStats(lambda batch: (torch.ones(len(batch), 4), torch.ones(len(batch), 2)), images.split(2), CPU)
    assert len(stats.images) == kept and len(stats.features) == 3


def test_fid_is_the_formula():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(1000, 16)) @ rng.normal(size=(16, 16)) + shift for shift in (0.0, 0.5)]
    (mean_1, cov_1), (mean_2, cov_2) = ((cloud.mean(0), np.cov(cloud, rowvar=False)) for cloud in clouds)
    values, vectors = np.linalg.eigh(cov_1)
    root = (vectors * np.sqrt(values)) @ vectors.T
    trace_of_root = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_2 @ root), 0, None)).sum()
    expected = ((mean_1 - mean_2) ** 2).sum() + np.trace(cov_1) + np.trace(cov_2) - 2 * trace_of_root
    found = compare(*(torch.from_numpy(cloud) for cloud in clouds))
    assert catalogue.fid.compute(found) == pytest.approx(expected, rel=1e-5)


def test_fid_of_a_shifted_cloud_is_the_squared_shift():
    cloud = torch.randn(500, 4, dtype=torch.float64)
    assert catalogue.fid.compute(compare(cloud, cloud)) == pytest.approx(0, abs=1e-6)
    assert catalogue.fid.compute(compare(cloud + 3, cloud)) == pytest.approx(4 * 9, rel=1e-6)


def test_kid_by_hand():
    zeros, ones = (
        torch.zeros(2, 1),
        torch.ones(2, 1),
    )  # the kernel (xy + 1)^3 is 1 for 0 and 0, 1 for 0 and 1, 8 for 1 and 1
    assert catalogue.kid.compute(compare(zeros, ones)) == pytest.approx(1 + 8 - 2 * 1)
    assert catalogue.kid.compute(compare(ones, ones)) == pytest.approx(0)


def test_precision_and_recall_by_hand():
    grid = torch.tensor([[0.0], [1.0], [2.0], [3.0]])  # reaches to the third neighbors: 3, 2, 2, 3
    others = torch.tensor([[1.5], [4.0], [7.0], [100.0]])  # the last one reaches all
    found = compare(others, grid)
    assert catalogue.precision.compute(found) == 0.5 and catalogue.recall.compute(found) == 1
    found = compare(grid, others)
    assert catalogue.precision.compute(found) == 1 and catalogue.recall.compute(found) == 0.5


def test_classifier_score_by_hand():
    def score(logits, metric=catalogue.classifier_score):
        points = torch.zeros(len(logits), 1)
        return metric.compute(compare(points, points, logits))

    sure = 50 * torch.eye(4)[torch.arange(10_000) % 4]
    assert score(sure) == pytest.approx(4, abs=0.02)  # as many as there are classes
    assert score(sure[:1].expand(100, -1)) == pytest.approx(1)
    assert score(torch.zeros(100, 4)) == pytest.approx(1)
    unsure = torch.tensor([0.9, 0.1]).log().repeat(5000, 1)
    unsure[::2] = unsure[::2].flip(1)
    expected = 2 * 0.9**0.9 * 0.1**0.1  # exp(log 2 - entropy)
    assert score(unsure) == pytest.approx(expected, abs=0.01)
    assert score(unsure, catalogue.inception_score) == score(unsure)


def test_metrics_are_those_that_the_comparison_has_inputs_for():
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    plain = catalogue.compute_metrics(compare(points, points))
    assert list(plain) == [m.column("mnist") for m in catalogue.METRICS if m.needs in ("features", "classes", "images")]
    images = torch.zeros(20, 1, 1, 1, dtype=torch.uint8)
    stats = FeatureStats(lambda batch: (points, points), [images], CPU)
    inception = catalogue.compute_metrics(Comparison("inception", stats, stats, (images, images), 0.25))
    has = ("features", "inception", "pixels", "discriminator")
    assert list(inception) == [m.column("inception") for m in catalogue.METRICS if m.needs in has]
    assert inception["discriminator_gap"] == 0.25


def test_recognizable_classes_are_those_of_the_most_similar_real_images():
    shapes = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    for index, (row, column) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        shapes[index, 0, row : row + 2, column : column + 2] = 255
    real, flat = shapes.repeat_interleave(30, dim=0), torch.zeros(20, 1, 4, 4, dtype=torch.uint8)

    def stats(images):
        logits = images[:, 0, ::2, ::2].flatten(1).float()  # the class is the corner
        return FeatureStats(lambda batch: (torch.ones(len(batch), 1), logits), [images], CPU)

    generated = torch.cat([shapes[:1].expand(60, -1, -1, -1), shapes[3:].expand(20, -1, -1, -1), flat])
    found = Comparison("mnist", stats(generated), stats(real))
    assert found.similar_fractions.tolist() == pytest.approx([0.6, 0, 0, 0.2])
    assert catalogue.pixel_precision.compute(found) == pytest.approx(0.8)
    assert catalogue.pixel_modes_in_100.compute(found) == pytest.approx(2)


@pytest.fixture(scope="module")
def scores_of(digits):
    """The metrics of images against half of the digits, and the other half, which stands for a perfect generator."""
    train, _, network, _ = digits
    real = FeatureStats(network, train.images[:1500].split(256), CPU)

    def scores(images):
        stats = FeatureStats(network, images.split(256), CPU)
        found = catalogue.compute_metrics(Comparison("digits", stats, real))
        return {column.removesuffix("_digits"): value for column, value in found.items()}

    return scores, train[1500:]


@pytest.fixture(scope="module")
def perfect(scores_of):
    scores, others = scores_of
    return scores(others.images)


def test_other_real_images_score_well(perfect):
    assert perfect["fid"] < 3 and abs(perfect["kid"]) < 0.05
    assert perfect["precision"] > 0.6 and perfect["recall"] > 0.6 and perfect["coverage"] > 0.8
    assert perfect["density"] == pytest.approx(1, abs=0.25)
    assert perfect["modes"] == 10 and perfect["class_distance"] < 0.06 and perfect["classifier_score"] > 7


def test_half_of_the_classes_costs_recall_and_coverage_but_not_precision(scores_of, perfect):
    scores, others = scores_of
    half = scores(others.images[others.labels < 5])
    assert half["fid"] > 5 * perfect["fid"] and half["kid"] > 5 * abs(perfect["kid"])
    assert half["recall"] < perfect["recall"] - 0.2 and half["coverage"] < perfect["coverage"] - 0.2
    assert half["precision"] > perfect["precision"] - 0.1
    assert half["class_distance"] == pytest.approx(0.5, abs=0.06) and half["kl"] == pytest.approx(math.log(2), abs=0.12)
    assert half["classifier_score"] < 0.65 * perfect["classifier_score"]


def test_noise_costs_precision(scores_of, perfect):
    scores, others = scores_of
    noise = torch.randn(others.images.shape, generator=torch.Generator().manual_seed(0)) * 120
    noisy = scores((others.images + noise).clamp(0, 255).to(torch.uint8))
    assert noisy["fid"] > 5 * perfect["fid"] and noisy["precision"] < perfect["precision"] - 0.2


def test_one_image_repeated_costs_everything_but_precision(scores_of):
    scores, others = scores_of
    repeated = scores(others.images[:1].expand(1500, -1, -1, -1))
    assert repeated["fid"] > 50 and repeated["recall"] < 0.01 and repeated["coverage"] < 0.1
    assert repeated["modes"] == 1 and repeated["kl"] == pytest.approx(math.log(10))
    assert repeated["classifier_score"] == pytest.approx(1)
