"""Sets of points: each a function of its seed and count, with the shape that its name says."""

import math

import pytest
import torch
from hydra.utils import instantiate

from gan.data.datasets import scale_images
from gan.data.image_shape import PointShape
from tests.conftest import POINT_SETS, composed

MADE = [name for name in POINT_SETS if name != "points"]  # which reads a file
DIMS = {"dirac": 1, "gaussian1d": 1}  # 2 otherwise
CLASSES = {"ring8": 8, "grid25": 25, "spiral": 2, "two_moons": 2, "checkerboard": 8}  # 0 otherwise


def load(name, split="train", **settings):
    node = composed(f"dataset={name}", "model=points").dataset
    return instantiate({**node, **settings}, data_dir=None, cache_dir=None, split=split, _convert_="all")


def test_there_are_eight_sets_of_points():
    expected = {"ring8", "grid25", "spiral", "two_moons", "checkerboard", "gaussian1d", "dirac", "points"}
    assert {*POINT_SETS} == expected


@pytest.mark.parametrize("name", MADE)
def test_points_are_float32_with_a_fifth_as_many_for_testing(name):
    train, test = load(name, count=500), load(name, "test", count=500)
    assert train.images.shape == (500, DIMS.get(name, 2)) and test.images.shape == (100, DIMS.get(name, 2))
    assert train.images.dtype == torch.float32
    assert train.shape == PointShape(DIMS.get(name, 2), CLASSES.get(name, 0))
    assert (train.labels is None) == (name not in CLASSES)
    if name != "dirac":
        assert not torch.equal(train.images[:100], test.images)


@pytest.mark.parametrize("name", [name for name in MADE if name != "dirac"])
def test_points_depend_on_their_seed(name):
    first, again, other = load(name, count=50), load(name, count=50), load(name, count=50, seed=1)
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)


@pytest.mark.parametrize("name", MADE)
def test_a_limit_keeps_the_first_points(name):
    assert torch.equal(load(name, count=50, limit=7).images, load(name, count=50).images[:7])


@pytest.mark.parametrize(("name", "count", "std"), [("ring8", 8, 0.02), ("grid25", 25, 0.05), ("gaussian1d", 1, 0.5)])
def test_a_mixture_has_equally_frequent_modes_with_their_standard_deviation(name, count, std):
    data = load(name, count=50_000)
    labels = data.labels if count > 1 else torch.zeros(50_000, dtype=torch.int64)
    from_center = data.images - data.modes.centers[labels]
    assert data.modes.std == std and len(data.modes.centers) == count
    assert from_center.std().item() == pytest.approx(std, rel=0.02)
    assert from_center.mean().abs() < std / 20
    assert (labels.bincount() - 50_000 / count).abs().max() < 6 * math.sqrt(50_000 / count)


def test_the_centers_are_where_the_papers_have_them():
    ring, grid = load("ring8", count=5).modes.centers, load("grid25", count=5).modes.centers
    assert torch.allclose(ring.norm(dim=1), torch.tensor(2.0))
    assert torch.allclose((ring - ring.roll(1, 0)).norm(dim=1), torch.tensor(4 * math.sin(math.pi / 8)))
    assert {tuple(center) for center in grid.tolist()} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    assert torch.equal(load("gaussian1d", count=5).modes.centers, torch.tensor([[2.0]]))


def test_the_dirac_distribution_is_0_alone():
    assert not load("dirac", count=9).images.any()


def test_a_spirals_arms_are_uniform_in_area_and_turn_with_the_radius():
    data = load("spiral", count=20_000, std=0.0)
    radius, angle = data.images.norm(dim=1), torch.atan2(data.images[:, 1], data.images[:, 0])
    expected = 2 * math.pi * (data.labels / 2 + 1.5 * radius / 2)  # two arms, 1.5 turns until radius 2
    assert torch.allclose(torch.cos(angle), torch.cos(expected), atol=1e-3)
    assert radius.max() <= 2 and (radius < 1).float().mean().item() == pytest.approx(1 / 4, abs=0.02)


def test_each_moon_is_a_half_circle():
    data = load("two_moons", count=2000, std=0.0)
    for moon, center, sign in ((0, (0.0, 0.0), 1), (1, (1.0, 0.5), -1)):
        from_center = data.images[data.labels == moon] - torch.tensor(center)
        assert torch.allclose(from_center.norm(dim=1), torch.tensor(1.0), atol=1e-5)
        assert (sign * from_center[:, 1] >= -1e-6).all()


def test_a_checkerboard_has_eight_squares_of_one_color():
    data = load("checkerboard", count=20_000)
    column, row = data.images.floor().long().unbind(1)
    assert ((column + row) % 2 == 0).all() and data.images.abs().max() <= 2
    squares = {(x, y, label) for x, y, label in zip(column.tolist(), row.tolist(), data.labels.tolist(), strict=True)}
    assert len(squares) == 8 and len({label for *_, label in squares}) == 8


def test_points_are_not_scaled():
    points = torch.tensor([[-7.5, 3.0]])
    assert torch.equal(scale_images(points, None), points)
