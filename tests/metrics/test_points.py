"""Metrics of points, computed by hand."""

import math

import pytest
import torch

from gan.config.errors import ConfigError
from gan.data import datasets
from gan.data.datasets import ImageDataset, Modes
from gan.metrics import catalogue, protocol
from gan.metrics.comparison import Comparison, FeatureStats
from gan.metrics.features import Coordinates
from gan.metrics.points import count_modes, divergence_from_uniform, wasserstein_distance
from tests.metrics.conftest import CPU

MODES = Modes(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), 1.0)


def stats(points):
    return FeatureStats(Coordinates(), torch.tensor(points).split(2), CPU)


def compare(generated, real, modes=MODES):
    return catalogue.compute_metrics(Comparison("points", stats(generated), stats(real), modes=modes))


REAL = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [0.0, 0.0]]


def test_modes_by_hand():
    """Two points within three standard deviations of the first mode, one beyond the second's, none at the third."""
    scores = compare([[0.0, 2.9], [2.0, -2.0], [10.0, 3.1], [0.0, 3.1]], REAL)
    assert scores["modes_found"] == 1 and scores["high_quality"] == 2 / 4
    # nearest: three at the first mode and one at the second
    assert scores["mode_kl"] == pytest.approx(3 / 4 * math.log(3 / 4 * 3) + 1 / 4 * math.log(1 / 4 * 3))


def test_all_modes_evenly_are_best():
    scores = compare(REAL[:3], REAL[:3])
    assert scores == {"wasserstein": 0, "modes_found": 3, "high_quality": 1, "mode_kl": pytest.approx(0, abs=1e-12)}


def test_points_that_are_not_finite_are_far_away_and_their_scores_finite():
    scores = compare([[math.nan, 0.0], [math.inf, 0.0], [0.0, -math.inf], [0.0, 0.0]], REAL)
    assert scores["high_quality"] == 1 / 4 and 1e30 < scores["wasserstein"] < math.inf


def test_without_modes_there_is_the_distance_alone():
    assert list(compare(REAL, REAL, None)) == ["wasserstein"]


def test_a_distance_of_three_standard_deviations_is_too_far():
    counts = count_modes(torch.tensor([[3.0, 0.0], [2.99, 0.0]]), MODES)
    assert counts.all_points.tolist() == [2, 0, 0] and counts.close_points.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("counts", "divergence"),
    [
        ([5, 5], 0),
        ([1, 0], math.log(2)),
        ([3, 1], 0.75 * math.log(1.5) + 0.25 * math.log(0.5)),
        ([0, 7, 7, 0], math.log(2)),
    ],
)
def test_the_divergence_by_hand(counts, divergence):
    assert divergence_from_uniform(torch.tensor(counts)) == pytest.approx(divergence)


def test_the_wasserstein_distance_by_hand():
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    assert wasserstein_distance(points, points.flip(0)) == pytest.approx(0, abs=1e-6)
    assert wasserstein_distance(points, points.flip(0) + torch.tensor([3.0, 4.0])) == pytest.approx(5, rel=1e-5)
    # 0 -> 1 and 3 -> 5: the root of (1 + 4) / 2, where 0 -> 5 and 3 -> 1 would be worse
    assert wasserstein_distance(torch.tensor([[0.0], [3.0]]), torch.tensor([[5.0], [1.0]])) == math.sqrt(2.5)


def test_the_wasserstein_distance_of_numbers_is_that_of_their_sorted_values():
    one, other = torch.randn(2, 300, 1, generator=torch.Generator().manual_seed(0))
    expected = (one.sort(0).values - other.sort(0).values).double().square().mean().sqrt().item()
    assert wasserstein_distance(one, other) == pytest.approx(expected, rel=1e-6)


def test_the_wasserstein_distance_takes_equally_many_points_and_at_most_1000():
    random = torch.Generator().manual_seed(0)
    generated, real = (FeatureStats(Coordinates(), [torch.randn(n, 1, generator=random)], CPU) for n in (1500, 1200))
    taken = Comparison("points", generated, real).assigned_points
    assert [len(points) for points in taken] == [1000, 1000]


def reference(count=400, features="classifier", modes=MODES):
    def load(split):
        random = torch.Generator().manual_seed(len(split))
        labels = torch.randint(3, (count,), generator=random)
        return ImageDataset(modes.centers[labels] + torch.randn(count, 2, generator=random), labels, 3, modes=modes)

    return protocol.load_reference("blobs", load, True, None, features, (None, None), CPU)


def test_real_points_have_a_baseline_by_the_same_protocol(tmp_path):
    blobs = reference()
    baseline = blobs.real_data_baseline(200, False, tmp_path)
    assert baseline["modes_found"] == 3 and baseline["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.03)
    assert 0 < baseline["wasserstein"] < 2.5 and 0 <= baseline["mode_kl"] < 0.05
    assert blobs.real_data_baseline(200, False, tmp_path) == baseline  # from the cache
    record = blobs.record(200)
    assert record["features"] == "points" and {*record} == {*catalogue.PROTOCOL}
    line = catalogue.protocol_line(record)
    assert "200 generated points against 400 test points of blobs" in line and "features" not in line


def test_points_have_no_features_of_images():
    with pytest.raises(ConfigError, match="features"):
        reference(features="inception")


def test_the_headline_of_points_is_their_distance():
    scores = {"modes_found": 8.0, "wasserstein": 0.25, "features": "points"}
    assert catalogue.headline(scores) == ("wasserstein", 0.25)
    assert "wasserstein 0.250" in catalogue.summary({"wasserstein": 0.25}, "points")


def test_images_have_no_metrics_of_points():
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    images = FeatureStats(lambda batch: (features, features[:, :0]), [torch.zeros(20, 1, 8, 8, dtype=torch.uint8)], CPU)
    assert not {"wasserstein", "modes_found"} & catalogue.compute_metrics(Comparison("mnist", images, images)).keys()
    assert datasets.ImageDataset(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).modes is None
