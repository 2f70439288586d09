"""Every metric says what it is, and its direction is right."""

import math
import re
from types import SimpleNamespace

import pytest
import torch

from gan.metrics import catalogue
from gan.metrics.catalogue import METRICS
from gan.metrics.comparison import Comparison, FeatureStats
from tests.conftest import CONF, ROOT
from tests.metrics.conftest import CPU

COLUMNS = [metric.column("mnist") for metric in METRICS]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_unit_a_direction_and_a_docstring(metric):
    assert metric.unit and metric.better in ("lower", "higher", None)
    assert metric.compute.__doc__ and metric.compute.__name__ == metric.name


def test_only_metrics_that_order_generators_have_a_direction():
    undirected = {metric.name for metric in METRICS if metric.better is None}
    assert undirected == {"density", "parzen_error", "parzen_width", "discriminator_gap"}


def test_every_metric_is_documented_with_its_unit_and_direction():
    _, table = (ROOT / "docs" / "metrics.md").read_text("utf-8").split("| column | better |")
    rows = {column: other for column, *other in re.findall(r"^\| `(\S+)` \| (.+?) \| (.+?) \|", table, re.M)}
    assert list(rows) == [metric.column("<features>") for metric in METRICS]
    for metric, (better, unit) in zip(METRICS, rows.values(), strict=True):
        assert unit == metric.unit
        assert better == metric.better if metric.better else better in ("-", "about 1", "near 0")


@pytest.fixture(scope="module")
def good_and_bad(digits):
    """All metrics of real digits, and of one image of noise repeated."""
    train, _, network, _ = digits
    noise = torch.randint(0, 256, (1, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    real = FeatureStats(network, train.images[:500].split(256), CPU)
    parzen_images = train.images[1000:1200], train.images[:500]
    found = []
    for images in (train.images[500:1000], noise.expand(500, -1, -1, -1)):
        stats = FeatureStats(network, images.split(256), CPU)
        scores = {}
        for features in ("digits", "inception"):
            scores |= catalogue.compute_metrics(Comparison(features, stats, real, parzen_images))
        found.append(scores)
    return found


OF_IMAGES = [metric for metric in METRICS if metric.better and metric.needs not in ("points", "modes")]


@pytest.mark.slow
@pytest.mark.parametrize("metric", OF_IMAGES, ids=lambda metric: metric.name)
def test_one_image_of_noise_repeated_scores_worse_than_real_images(good_and_bad, metric):
    good, bad = (scores[metric.column("digits")] for scores in good_and_bad)
    assert (bad > good) if metric.better == "lower" else (bad < good)


def test_metrics_on_features_say_whose_features_they_are():
    on_features = ["fid", "kid", "precision", "recall", "density", "coverage", "classifier_score"]
    assert COLUMNS[:7] == [f"{name}_mnist" for name in on_features]
    assert not [column for column in COLUMNS[7:] if "mnist" in column]


def test_a_column_leads_back_to_its_metric():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for features in ("mnist", "image_folder", "stacked_mnist", "inception", "fashion_mnist"):
        assert [catalogue.metric_of(metric.column(features)) for metric in METRICS] == METRICS
    assert [catalogue.metric_of(name) for name in names] == METRICS
    for other in ("fidelity", "kl_mnist", "features", "discriminator/loss", "step", ""):
        assert catalogue.metric_of(other) is None and catalogue.direction(other) is None


def test_the_headline_is_fid_whatever_its_features():
    assert catalogue.headline({"kl": 0.1, "fid_digits": 3.0}) == ("fid_digits", 3.0)
    assert catalogue.headline({"fid_inception": 20.0, "features": "inception-v3"}) == ("fid_inception", 20.0)
    assert catalogue.headline({"kl": 0.1}) is None and catalogue.headline({}) is None
    assert catalogue.find_column({"precision_x": 1, "recall_x": 0.5}, "recall") == "recall_x"


def test_a_search_minimizes_the_headline_as_it_is_better_when_lower():
    search = (CONF / "experiment" / "search" / "rates.yaml").read_text()
    assert {metric.better for metric in catalogue.HEADLINES} == {"lower"} and "direction: minimize" in search


def test_the_summary_names_the_features():
    scores = {"fid_digits": 1234.5678, "precision_digits": 0.25, "recall_digits": 1.0, "kl": 0.5}
    assert catalogue.summary(scores, "digits") == "FID on digits features 1234.568, precision 0.250, recall 1.000"


def test_the_protocol_line_has_features_counts_and_split():
    record = dict(zip(catalogue.PROTOCOL, ("mnist-1a", "mnist-28x28x1-2b", 0.99, 200, 128, "test"), strict=True))
    line = catalogue.protocol_line(record)
    assert all(part in line for part in ("mnist-28x28x1-2b", "200 generated", "128 test", "mnist-1a"))
    assert catalogue.protocol_line({"dataset": "x"}) != line  # an incomplete record has a line too


def test_the_catalogue_imports_no_torch(process):
    done = process("-c", "import sys, gan.metrics.catalogue; assert not {'torch', 'numpy'} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


def class_scores(counts):
    """The metrics on classes where so many images were assigned to each class."""
    fractions = torch.tensor(counts).double() / sum(counts)
    comparison = SimpleNamespace(features="mnist", inputs={"classes"}, class_fractions=fractions)
    return {
        metric.name: metric.compute(comparison)
        for metric in METRICS
        if metric.needs == "classes" and metric.name != "classifier_score"
    }


def test_class_metrics_by_hand():
    assert class_scores([26] * 1000) == {
        "modes": 1000,
        "modes_in_100": pytest.approx(1000 * (1 - 0.999**100)),
        "class_distance": pytest.approx(0, abs=1e-12),
        "kl": pytest.approx(0, abs=1e-12),
    }
    assert class_scores([3, 1, 0, 0]) == {
        "modes": 2,
        "modes_in_100": pytest.approx(2),
        "class_distance": 0.5,
        "kl": pytest.approx(0.75 * math.log(3)),
    }
    assert class_scores([99, 1])["modes_in_100"] == pytest.approx(1 + 1 - 0.99**100)
