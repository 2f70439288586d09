"""Directions in the noise in which images change the most."""

import pytest
import torch
from torch import nn

from gan.explorer.directions import principal_directions
from gan.models.base import Generator
from gan.noise import Noise


def linear_generator(matrix):
    """Images (1, 2, 2) that are linear in the noise."""
    layer = nn.Linear(matrix.shape[1], 4, bias=False)
    layer.weight.data = matrix
    return Generator(nn.Sequential(layer, nn.Unflatten(1, (1, 2, 2))))


def test_of_a_linear_generator_they_are_its_right_singular_vectors():
    torch.manual_seed(0)
    matrix = torch.randn(4, 3)
    expected = torch.linalg.svd(matrix).Vh
    found = principal_directions(linear_generator(matrix), Noise("uniform", 3), torch.zeros(5, 3), None)
    assert found.shape == (3, 3) and torch.allclose(found @ found.T, torch.eye(3), atol=1e-5)
    assert torch.allclose((found * expected).sum(1).abs(), torch.ones(3), atol=1e-4)
    assert all(row[row.abs().argmax()] > 0 for row in found)


def test_the_first_is_the_one_in_which_images_change_the_most():
    scales = torch.diag(torch.tensor([1.0, 3.0, 0.1, 2.0]))
    found = principal_directions(linear_generator(scales), Noise("normal", 4), torch.zeros(2, 4), None)
    assert torch.allclose(found, torch.eye(4)[[1, 3, 0, 2]], atol=1e-5)


@pytest.mark.parametrize("label", [0, 1])
def test_they_are_those_of_the_class(label):
    class Switch(Generator):
        def forward(self, noise, labels=None):
            factors = torch.tensor([[5.0, 1.0], [1.0, 5.0]])[labels]
            return (noise * factors).view(-1, 1, 1, 2)

    points, labels = torch.zeros(3, 2), torch.full((3,), label)
    found = principal_directions(Switch(nn.Identity()), Noise("normal", 2), points, labels)
    assert torch.allclose(found, torch.eye(2)[[label, 1 - label]], atol=1e-5)
