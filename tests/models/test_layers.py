"""Layers and initialization that several architectures share."""

import math

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from gan import sampling
from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.models import layers
from gan.training import loop
from tests.conftest import NARROW, composed
from tests.models.conftest import NOISE_DIM, build_pair

SMALL = ImageShape(1, 8)


def test_uniform_initial_weights_lie_within_their_bounds():
    generator, _ = build_pair("mlp", SMALL, "model.generator.init=uniform", "model.generator.init_scale=0.05")
    weight = generator.layers[0].weight
    assert weight.abs().max() <= 0.05 and weight.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.02)


def test_sigmoid_images_lie_in_0_to_1():
    generator, _ = build_pair("mlp", SMALL, "model.generator.output=sigmoid")
    assert generator.pixel_range == (0, 1)
    assert generator(torch.randn(50, NOISE_DIM)).min() >= 0


def test_a_linear_output_has_a_gradient_everywhere_and_is_clipped_only_in_saved_images():
    generator, _ = build_pair("mlp", SMALL, "model.generator.output=linear")
    with torch.no_grad():
        generator.layers[-3].bias.fill_(5.0)
    images = generator(torch.randn(3, NOISE_DIM))
    images.sum().backward()
    assert images.min() > 3 and torch.equal(generator.layers[-3].bias.grad, torch.full((64,), 3.0))
    assert sampling.generate(generator, torch.randn(3, NOISE_DIM), None, 3).unique().tolist() == [255]


@pytest.mark.parametrize(("name", "mixes_images"), [("mlp", False), ("dcgan", True)])
def test_only_with_batch_norm_does_a_logit_depend_on_the_other_images_of_the_batch(name, mixes_images):
    _, discriminator = build_pair(name, ImageShape(1, 16))
    assert layers.has_batch_norm(discriminator) is mixes_images
    discriminator.train()
    for module in discriminator.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    images = torch.randn(6, 1, 16, 16)
    half, whole = discriminator(images[:3]), discriminator(images)[:3]
    assert torch.allclose(half, whole, atol=1e-5) is not mixes_images


@pytest.mark.parametrize(
    "activation", ["relu", "{_target_: torch.nn.ReLU}", "{_target_: torch.nn.ReLU, _partial_: true}"]
)
def test_an_activation_is_a_name_a_module_or_a_partial(activation):
    cfg = composed(f"model.generator.activation={activation}")
    generator = instantiate(cfg.model.generator, SMALL, NOISE_DIM, _convert_="all")
    activations = [module for module in generator.modules() if isinstance(module, nn.ReLU)]
    assert len(activations) == len(set(activations)) == 3


@pytest.mark.parametrize("probability", [0.001, 0.3, 0.5, 0.99])
def test_dropout_drops_with_its_probability_and_keeps_the_mean(probability):
    layer, inputs = layers.Dropout(probability), torch.full((1000, 1001), 3.0, requires_grad=True)
    torch.manual_seed(0)
    outputs = layer(inputs)
    dropped = (outputs == 0).double()
    deviation = (probability * (1 - probability) / inputs.numel()) ** 0.5
    assert dropped.mean().item() == pytest.approx(probability, abs=4 * deviation)
    assert outputs.max().item() == pytest.approx(3 / (1 - probability), rel=1e-3)
    assert outputs.mean().item() == pytest.approx(3, rel=5 * deviation / (1 - probability))
    outputs.sum().backward()
    assert torch.equal(inputs.grad * 3, outputs)  # the gradient has the same mask


def test_neighbors_are_dropped_independently():
    torch.manual_seed(0)
    dropped = (layers.Dropout(0.3)(torch.ones(250_000, 4)) == 0).double()
    assert (torch.corrcoef(dropped.T) - torch.eye(4)).abs().max() < 0.01
    assert dropped.mean(0).tolist() == pytest.approx([0.3] * 4, abs=0.004)  # a random number makes four decisions


def test_dropout_depends_on_the_seed_and_does_nothing_in_eval_mode():
    layer, inputs = layers.Dropout(0.5), torch.ones(5, 7, 3)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(layer(inputs))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
    assert layer.eval()(inputs) is inputs
    assert torch.equal(layers.Dropout(1.0)(inputs), torch.zeros_like(inputs))


def test_self_attention_sums_up_the_values_of_all_places_by_the_softmax_of_keys_and_queries():
    layer = layers.SelfAttention(1)
    with torch.no_grad():
        for convolution, weight in ((layer.query, 1.0), (layer.key, 1.0), (layer.value, 10.0), (layer.output, 1.0)):
            convolution.weight.fill_(weight)
            convolution.bias.zero_()
        layer.gamma.fill_(0.5)
    maps = torch.tensor([[[[0.0, 1.0]]]])
    # The place with query 0 sees both alike: (0 + 10) / 2. That with query 1 sees the keys 0 and 1 as 1 to e.
    e = math.e
    assert layer(maps).flatten().tolist() == pytest.approx([0 + 0.5 * 5, 1 + 0.5 * 10 * e / (1 + e)], rel=1e-5)
    assert torch.equal(layers.SelfAttention(16)(torch.ones(2, 16, 3, 3)), torch.ones(2, 16, 3, 3))  # at the start


@pytest.mark.parametrize("model", ["dcgan", "residual"])
@pytest.mark.parametrize(("attention", "side"), [(16, 14), (7, 7), (13, 7)])
def test_the_largest_feature_map_of_at_most_the_given_side_has_self_attention(model, attention, side):
    sizes = [f"model.{player}.attention={attention}" for player in ("generator", "discriminator")]
    generator, discriminator = build_pair(model, ImageShape(1, 28), *sizes)
    seen = []
    for network in (generator, discriminator):
        found = [module for module in network.modules() if isinstance(module, layers.SelfAttention)]
        assert len(found) == 1
        found[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    discriminator(generator(torch.randn(2, NOISE_DIM)))
    assert seen == [(side, side), (side, side)]


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_self_attention_of_less_than_the_smallest_feature_map_is_one_sentence(make_run, player):
    with pytest.raises(ConfigError, match=rf"model\.{player}\.attention=2"):
        make_run("model=dcgan", f"model.{player}.attention=2")


def test_self_attention_trains_with_a_gradient_penalty_and_spectral_normalization(make_run):
    chosen = ["model=dcgan", "dataset.image_size=16", *NARROW["dcgan"], "model.discriminator.attention=8"]
    run = make_run(*chosen, "model.generator.attention=8", "trick=[r1,spectral_norm]")
    for step in range(3):
        run.step = step
        assert all(value.isfinite() for value in loop.training_step(run).values())
    assert all(module.gamma != 0 for module in run.generator.modules() if isinstance(module, layers.SelfAttention))


def test_orthogonal_weights_have_orthogonal_rows_or_columns_of_length_scale():
    network = nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 8), nn.Conv2d(2, 3, 2))
    layers.init_weights(network, "orthogonal", 1.5)
    for layer in network:
        weight = layer.weight.flatten(1)
        square = weight @ weight.T if len(weight) <= weight.shape[1] else weight.T @ weight
        torch.testing.assert_close(square, 1.5**2 * torch.eye(len(square)))
        assert not layer.bias.any()
