"""Fully connected networks."""

import pytest
import torch
from torch import nn

from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from tests.models.conftest import build_pair, weight_shapes


def test_for_28_pixels_the_layers_are_those_of_the_published_mlp():
    generator, discriminator = build_pair("mlp", ImageShape(1, 28))
    assert weight_shapes(generator) == [(256, 100), (512, 256), (1024, 512), (784, 1024)]
    assert weight_shapes(discriminator) == [(1024, 784), (512, 1024), (256, 512), (1, 256)]
    assert all(module.bias is not None for module in generator.modules() if isinstance(module, nn.Linear))
    modules = [*discriminator.features, *discriminator.logit]
    kinds = [type(module).__name__ for module in modules]
    assert kinds == ["Flatten", *["Linear", "LeakyReLU", "Dropout"] * 3, "Linear"]
    assert [module.p for module in modules if isinstance(module, nn.Dropout)] == [0.3] * 3
    assert {module.negative_slope for module in modules if isinstance(module, nn.LeakyReLU)} == {0.2}
    assert isinstance(generator.layers[-1], nn.Tanh)


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "tanh_unit", "linear"])
def test_with_an_output_bias_from_the_marginals_the_first_output_is_the_mean_image(make_run, output):
    run = make_run(
        "model.generator.norm=none",
        "model.generator.output_bias=marginals",
        f"model.generator.output={output}",
        "dataset.limit=50",
        "model.generator.init=uniform",
        "model.generator.init_scale=1e-9",
    )
    generator = run.players.generator.network
    low, high = generator.pixel_range
    mean = run.batches.images.float().mean(0) / 255 * (high - low) + low
    assert torch.allclose(generator(torch.zeros(1, 100))[0], mean, atol=1e-3)


def test_each_hidden_layer_can_have_its_own_dropout_probability():
    _, discriminator = build_pair("mlp", ImageShape(1, 8), "model.discriminator.dropout=[0.1,0,0.5]")
    assert [module.p for module in discriminator.modules() if isinstance(module, nn.Dropout)] == [0.1, 0.5]


def test_a_list_of_dropout_probabilities_must_have_one_for_each_hidden_layer(make_run):
    with pytest.raises(ConfigError, match="dropout"):
        make_run("model.discriminator.dropout=[0.1,0.5]")
