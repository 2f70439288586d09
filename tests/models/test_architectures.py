"""What all architectures have in common."""

import pytest
import torch

from gan.data.image_shape import ImageShape
from tests.conftest import IMAGE_MODELS, narrow
from tests.models.conftest import NOISE_DIM, build_pair


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 9, 28, 31, 32, 64, 100])
@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_every_model_fits_every_image_size(name, size, channels):
    generator, discriminator = build_pair(name, ImageShape(channels, size))
    fake = generator(torch.randn(2, NOISE_DIM))
    assert fake.shape == (2, channels, size, size)
    low, high = generator.pixel_range
    assert low <= fake.min() and fake.max() <= high
    assert discriminator(fake).shape == (2,)
    assert discriminator.feature_count == discriminator.features(fake).flatten(1).shape[1]


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_every_model_fits_the_largest_image_size(name):
    generator, discriminator = build_pair(name, ImageShape(3, 256), *narrow(name))
    assert discriminator(generator(torch.randn(2, NOISE_DIM))).shape == (2,)


def test_the_initial_weights_of_one_player_do_not_depend_on_the_settings_of_the_other(make_run):
    default, other = make_run(), make_run("model.generator.hidden=[8]")
    for a, b in zip(default.players.discriminator.parameters, other.players.discriminator.parameters, strict=True):
        assert torch.equal(a, b)
