"""DCGAN, against the paper and its code."""

import pytest
from torch import nn

from gan.data.image_shape import ImageShape
from gan.models.dcgan import feature_map_sizes
from tests.models.conftest import build_pair, weight_shapes


@pytest.mark.parametrize(("size", "sizes"), [(64, [64, 32, 16, 8, 4]), (28, [28, 14, 7, 4]), (9, [9, 5, 3])])
def test_feature_maps_are_halved_down_to_4_or_3_pixels(size, sizes):
    assert feature_map_sizes(ImageShape(3, size)) == sizes


def test_for_64_pixels_the_layers_are_those_of_the_paper():
    generator, discriminator = build_pair("dcgan_wide", ImageShape(3, 64))
    assert weight_shapes(generator) == [
        (100, 512, 4, 4),
        (512, 256, 4, 4),
        (256, 128, 4, 4),
        (128, 64, 4, 4),
        (64, 3, 4, 4),
    ]
    assert weight_shapes(discriminator) == [
        (64, 3, 4, 4),
        (128, 64, 4, 4),
        (256, 128, 4, 4),
        (512, 256, 4, 4),
        (1, 512, 4, 4),
    ]
    modules = [*generator.modules(), *discriminator.modules()]
    convolutions = [module for module in modules if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
    assert all(module.bias is None for module in convolutions)
    strides_and_paddings = [(module.stride[0], module.padding[0]) for module in convolutions]
    assert strides_and_paddings == [(1, 0), *[(2, 1)] * 4, *[(2, 1)] * 4, (1, 0)]
    norms = [
        [type(module) for module in network.modules()].count(nn.BatchNorm2d) for network in (generator, discriminator)
    ]
    assert norms == [4, 3]
    assert sum(weight.numel() for weight in generator.parameters()) == 3_576_704
    assert sum(weight.numel() for weight in discriminator.parameters()) == 2_765_568


def test_the_initial_weights_have_standard_deviation_002():
    generator, _ = build_pair("dcgan", ImageShape(3, 64))
    convolution, norm = generator.layers[1], generator.layers[2]
    assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert convolution.weight.mean().item() == pytest.approx(0, abs=1e-4)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert (norm.bias == 0).all()
