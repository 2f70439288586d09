"""Residual networks without normalization."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan.data.image_shape import ImageShape
from gan.models import residual
from tests.models.conftest import NOISE_DIM, build_pair


def test_feature_maps_are_halved_down_to_8_pixels_or_less():
    generator, discriminator = build_pair("residual", ImageShape(1, 28))
    assert residual.stages(ImageShape(1, 28), 16) == ([28, 14, 7], [16, 32, 64])
    assert residual.stages(ImageShape(3, 64), 16) == ([64, 32, 16, 8], [16, 32, 64, 64])
    assert generator.layers[0].out_features == 64 * 7 * 7 and discriminator.feature_count == 64 * 7 * 7
    assert not any(isinstance(module, nn.BatchNorm2d) for module in [*generator.modules(), *discriminator.modules()])


def test_a_residual_block_starts_as_its_activation_and_can_learn():
    _, discriminator = build_pair("residual", ImageShape(1, 28))
    blocks = [module for module in discriminator.modules() if isinstance(module, residual.ResidualBlock)]
    assert blocks
    for block in blocks:
        maps = torch.randn(2, block.first.in_channels, 8, 8)
        assert torch.equal(block(maps), F.leaky_relu(maps, 0.2))
        block(maps).square().sum().backward()
        assert block.second.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [8, 28, 64, 256])
def test_before_training_images_and_logits_have_the_same_scale_at_any_depth(size):
    torch.manual_seed(0)
    generator, discriminator = build_pair("residual", ImageShape(3, size), "model.generator.output=linear")
    with torch.no_grad():
        images = generator(torch.randn(16, NOISE_DIM))
        logits = discriminator(images)
    assert 0.3 < images.square().mean().sqrt() < 1.5
    assert 0.05 < logits.std() < 1.5 and logits.abs().max() < 5  # over the images


@pytest.mark.parametrize(("side", "other"), [(28, 14), (7, 4), (14, 28), (5, 9)])
def test_feature_maps_are_shrunk_by_averaging_and_grown_by_interpolation(side, other):
    maps = torch.rand(2, 3, side, side)
    resized = residual.Resize(other)(maps)
    assert resized.shape == (2, 3, other, other) and maps.min() <= resized.min() and resized.max() <= maps.max()
    if side == 2 * other:
        means = maps.unflatten(2, (other, 2)).unflatten(4, (other, 2)).mean((3, 5))
        assert torch.allclose(resized, means, atol=1e-6)
