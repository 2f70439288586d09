"""Noise, and the walks through it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan.noise import Noise
from gan.system import randomness

KINDS = ["normal", "uniform", "sphere"]


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_mean_zero_and_variance_one(kind):
    points = Noise(kind, 100).sample(5000, stream())
    assert points.mean().item() == pytest.approx(0, abs=0.01)
    assert points.var().item() == pytest.approx(1, abs=0.01)


def test_uniform_noise_stays_within_root_three():
    points = Noise("uniform", 10).sample(5000, stream())
    assert points.abs().max() <= math.sqrt(3) and points.abs().max() > 1.7


def test_sphere_noise_lies_on_the_sphere_of_radius_root_dim():
    assert torch.allclose(Noise("sphere", 25).sample(100, stream()).norm(dim=1), torch.tensor(5.0))


@pytest.mark.parametrize("kind", KINDS)
def test_scale_multiplies(kind):
    plain, scaled = Noise(kind, 5).sample(4, stream()), Noise(kind, 5).sample(4, stream(), scale=0.5)
    assert torch.allclose(plain * 0.5, scaled)


@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_passes_through_its_stops_and_closes(kind):
    noise = Noise(kind, 8)
    stops = noise.sample(3, stream())
    path = noise.interpolate(stops, frames=4)
    assert path.shape == (12, 8)
    assert torch.allclose(path[::4], stops, atol=1e-5)


def test_a_walk_on_the_sphere_stays_on_it_and_one_in_the_box_is_straight():
    sphere, box = Noise("sphere", 16), Noise("uniform", 16)
    assert torch.allclose(sphere.interpolate(sphere.sample(3, stream()), 5).norm(dim=1), torch.tensor(4.0), atol=1e-4)
    stops = box.sample(2, stream())
    assert torch.allclose(box.interpolate(stops, 2)[1], stops.mean(0), atol=1e-6)


def test_a_walk_through_one_image_stands_still():
    noise = Noise("normal", 8)
    stop = noise.sample(1, stream())
    assert torch.allclose(noise.interpolate(stop, 3), stop.expand(3, -1))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 10**9), st.text(max_size=5)), min_size=1, max_size=3))
def test_a_key_is_the_same_each_time_and_fits_a_generator(parts):
    key = randomness.key(*parts)
    assert key == randomness.key(*parts) and 0 <= key < 2**32


def test_keys_of_different_purposes_differ():
    keys = {
        randomness.key(seed, name, step) for seed in range(5) for name in ("noise", "layers") for step in range(200)
    }
    assert len(keys) == 2000


def test_reseeding_sets_what_layers_draw_from():
    draws = []
    for _ in range(2):
        randomness.reseed(torch.device("cpu"), 1, "layers", 7)
        draws.append(torch.nn.functional.dropout(torch.ones(1000), 0.5))
        torch.randn(3)
    assert torch.equal(*draws)
