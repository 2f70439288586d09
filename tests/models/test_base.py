"""The base classes of the networks, and plain modules that are wrapped in them."""

import pytest
import torch
from torch import nn

from gan.models.base import Discriminator, Generator

NOISE, IMAGES = torch.randn(5, 3), torch.randn(5, 1, 2, 2)
LABELS = torch.tensor([0, 1, 2, 1, 0])


def make_generator(inputs=3):
    return nn.Sequential(nn.Linear(inputs, 4), nn.Unflatten(1, (1, 2, 2)))


def test_a_plain_generator_is_wrapped_with_the_usual_pixel_range():
    network = make_generator()
    generator = Generator.wrap(network)
    assert isinstance(generator, Generator) and generator.layers is network
    assert generator.pixel_range == (-1.0, 1.0) and generator.class_count == 0 and not generator.uses_mean_image
    assert torch.equal(generator(NOISE), network(NOISE))
    assert list(generator.state_dict()) == [f"layers.{name}" for name in network.state_dict()]


def test_the_pixel_range_of_a_plain_generator_is_kept():
    network = make_generator()
    network.pixel_range = (0.0, 1.0)
    assert Generator.wrap(network).pixel_range == (0.0, 1.0)


def test_a_plain_discriminator_is_wrapped_without_features():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    discriminator = Discriminator.wrap(network)
    assert isinstance(discriminator, Discriminator) and discriminator.feature_count == 0
    assert torch.equal(discriminator(IMAGES), network(IMAGES).flatten())


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 1, 1, 1)])
def test_the_logits_of_a_plain_discriminator_may_have_any_shape_with_one_per_image(shape):
    class Plain(nn.Module):
        def forward(self, images):
            return images.sum((1, 2, 3)).view(shape)

    assert torch.equal(Discriminator.wrap(Plain())(IMAGES), IMAGES.sum((1, 2, 3)))


def test_a_network_of_the_base_class_is_not_wrapped():
    class OwnGenerator(Generator):
        pass

    generator = OwnGenerator(make_generator(), pixel_range=(0.0, 1.0))
    discriminator = Discriminator(nn.Flatten(), nn.Linear(4, 1))
    assert Generator.wrap(generator) is generator and Discriminator.wrap(discriminator) is discriminator


@pytest.mark.parametrize(
    ("logit", "count"),
    [
        (nn.Linear(4, 1), 4),
        (nn.Conv2d(3, 1, 4), 3 * 4 * 4),
        (nn.Sequential(nn.Linear(7, 1, bias=False), nn.BatchNorm1d(1)), 7),
        (nn.Sequential(), 0),
    ],
)
def test_the_feature_count_is_the_number_of_inputs_of_the_logit_layer(logit, count):
    assert Discriminator(nn.Flatten(), logit).feature_count == count


def test_both_parts_of_a_discriminator_are_sequential_so_that_tricks_can_insert_layers():
    discriminator = Discriminator(nn.Flatten(), nn.Linear(4, 1))
    assert isinstance(discriminator.features, nn.Sequential) and isinstance(discriminator.logit, nn.Sequential)
    features = nn.Sequential(nn.Flatten(), nn.ReLU())
    assert Discriminator(features, nn.Linear(4, 1)).features is features


def test_a_conditional_generator_gets_the_label_embedding_beside_the_noise():
    generator = Generator(make_generator(inputs=5))
    generator.label_embedding = nn.Embedding(3, 2)
    expected = generator.layers(torch.cat([NOISE, generator.label_embedding.weight[LABELS]], dim=1))
    assert torch.equal(generator(NOISE, LABELS), expected) and generator.class_count == 3


def test_a_conditional_discriminator_adds_the_projection_of_the_features_on_the_class():
    discriminator = Discriminator(nn.Flatten(), nn.Linear(4, 1))
    discriminator.label_projection = nn.Linear(4, 3, bias=False)
    projection = (discriminator.label_projection.weight[LABELS] * IMAGES.flatten(1)).sum(1)
    assert torch.allclose(discriminator(IMAGES, LABELS), discriminator(IMAGES) + projection, atol=1e-6)


def test_unconditional_networks_ignore_labels():
    generator, discriminator = Generator(make_generator()), Discriminator(nn.Flatten(), nn.Linear(4, 1))
    assert torch.equal(generator(NOISE, LABELS), generator(NOISE))
    assert torch.equal(discriminator(IMAGES, LABELS), discriminator(IMAGES))
