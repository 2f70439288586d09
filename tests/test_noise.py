"""The generator's noise, and paths through it."""

import math

import pytest
import torch

from gan.noise import Noise

KINDS = ["normal", "uniform", "sphere"]


def sample(kind, dim, count, **options):
    return Noise(kind, dim).sample(count, torch.Generator().manual_seed(0), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_mean_zero_and_variance_one(kind):
    points = sample(kind, 100, 5000)
    assert points.mean().item() == pytest.approx(0, abs=0.01)
    assert points.var().item() == pytest.approx(1, abs=0.01)


def test_uniform_noise_lies_within_root_three():
    points = sample("uniform", 10, 5000)
    assert points.abs().max() <= math.sqrt(3) and points.abs().max() > 1.7


def test_sphere_noise_lies_on_the_sphere_of_radius_root_dim():
    assert torch.allclose(sample("sphere", 25, 100).norm(dim=1), torch.tensor(5.0))


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_multiplied_by_the_scale(kind):
    assert torch.allclose(sample(kind, 5, 4) * 0.5, sample(kind, 5, 4, scale=0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_passes_through_its_points_and_is_closed(kind):
    points = sample(kind, 8, 3)
    path = Noise(kind, 8).interpolate(points, frames=4)
    assert path.shape == (12, 8)
    assert torch.allclose(path[::4], points, atol=1e-5)
    last_steps = Noise(kind, 8).interpolate(points[[2, 0]], frames=4)[:4]
    assert torch.allclose(path[8:], last_steps, atol=1e-5)  # from the last point back to the first


def test_a_path_of_sphere_noise_stays_on_the_sphere_and_one_of_uniform_noise_is_straight():
    path = Noise("sphere", 16).interpolate(sample("sphere", 16, 3), 5)
    assert torch.allclose(path.norm(dim=1), torch.tensor(4.0), atol=1e-4)
    points = sample("uniform", 16, 2)
    assert torch.allclose(Noise("uniform", 16).interpolate(points, 2)[1], points.mean(0), atol=1e-6)


def test_a_path_through_one_point_stays_there():
    point = sample("normal", 8, 1)
    assert torch.allclose(Noise("normal", 8).interpolate(point, 3), point.expand(3, -1))


def test_the_nearest_noise_is_the_point_itself_where_noise_takes_it():
    for kind in KINDS:
        points = sample(kind, 9, 100)
        points = points[points.norm(dim=1) < 5]  # of 1,000 normal vectors, 3 are longer
        assert len(points) > 95
        assert torch.allclose(Noise(kind, 9).nearest(points), points, atol=1e-6)
    far = torch.tensor([[3.0, 4.0], [-0.3, 0.4]])
    assert torch.allclose(Noise("sphere", 2).nearest(far), math.sqrt(2) * torch.tensor([[0.6, 0.8], [-0.6, 0.8]]))
    root = math.sqrt(3)
    assert torch.allclose(Noise("uniform", 2).nearest(far), torch.tensor([[root, root], [-0.3, 0.4]]))
    norm = math.sqrt(2) + 2
    assert torch.allclose(Noise("normal", 2).nearest(far), torch.tensor([[0.6 * norm, 0.8 * norm], [-0.3, 0.4]]))
    assert Noise("normal", 2).nearest(torch.zeros(1, 2)).isfinite().all()
