"""Networks fit any image, and at the published sizes they are the published networks."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import nn

from gan import sampling
from gan.data.image_shape import ImageShape
from gan.models import layers, residual
from tests.conftest import composed, narrow, options

KERNELS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@functools.cache
def chosen(*overrides):
    return composed(*overrides)


def build(name, image, *overrides):
    cfg = chosen(f"model={name}", *overrides)
    generator = instantiate(cfg.model.generator, image, 100, _convert_="all")
    return generator, instantiate(cfg.model.discriminator, image, _convert_="all")


def weights(network):
    return [tuple(module.weight.shape) for module in network.modules() if isinstance(module, KERNELS)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 9, 28, 31, 32, 64, 100])
@pytest.mark.parametrize("name", options("model"))
def test_every_model_fits_every_image(name, size, channels):
    generator, discriminator = build(name, ImageShape(channels, size))
    fake = generator(torch.randn(2, 100))
    assert fake.shape == (2, channels, size, size)
    low, high = generator.pixel_range
    assert low <= fake.min() and fake.max() <= high
    assert discriminator(fake).shape == (2,)


@pytest.mark.parametrize("name", options("model"))
def test_a_model_fits_the_largest_image(name):
    generator, discriminator = build(name, ImageShape(3, 256), *narrow(name))
    assert discriminator(generator(torch.randn(2, 100))).shape == (2,)


def test_the_mlp_at_28_is_the_published_one():
    generator, discriminator = build("mlp", ImageShape(1, 28))
    assert weights(generator) == [(256, 100), (512, 256), (1024, 512), (784, 1024)]
    assert weights(discriminator) == [(1024, 784), (512, 1024), (256, 512), (1, 256)]
    assert all(module.bias is not None for module in generator.modules() if isinstance(module, nn.Linear))
    found = [*discriminator.features, *discriminator.logit]
    kinds = [type(module).__name__ for module in found]
    assert kinds == ["Flatten", *["Linear", "LeakyReLU", "Dropout"] * 3, "Linear"]
    assert [module.p for module in found if isinstance(module, nn.Dropout)] == [0.3] * 3
    assert {module.negative_slope for module in found if isinstance(module, nn.LeakyReLU)} == {0.2}
    assert isinstance(generator.layers[-1], nn.Tanh)


def test_the_dcgan_at_64_is_the_published_one():
    generator, discriminator = build("dcgan", ImageShape(3, 64))
    assert weights(generator) == [(100, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]
    assert weights(discriminator) == [
        (64, 3, 4, 4),
        (128, 64, 4, 4),
        (256, 128, 4, 4),
        (512, 256, 4, 4),
        (1, 512, 4, 4),
    ]
    found = [module for module in [*generator.modules(), *discriminator.modules()] if isinstance(module, KERNELS)]
    assert all(module.bias is None for module in found)
    geometry = [(module.stride[0], module.padding[0]) for module in found]
    assert geometry == [(1, 0), *[(2, 1)] * 4, *[(2, 1)] * 4, (1, 0)]
    norms = [
        [type(module) for module in network.modules()].count(nn.BatchNorm2d) for network in (generator, discriminator)
    ]
    assert norms == [4, 3]
    assert sum(parameter.numel() for parameter in generator.parameters()) == 3_576_704
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 2_765_568


def test_the_dcgan_starts_from_weights_of_deviation_002():
    generator, _ = build("dcgan", ImageShape(3, 64))
    convolution, norm = generator.layers[1], generator.layers[2]
    assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert convolution.weight.mean().item() == pytest.approx(0, abs=1e-4)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert (norm.bias == 0).all()


def test_uniform_weights_stay_within_their_bounds():
    generator, _ = build("mlp", ImageShape(1, 8), "model.generator.init=uniform", "model.generator.init_scale=0.05")
    weight = generator.layers[0].weight
    assert weight.abs().max() <= 0.05 and weight.std().item() == pytest.approx(0.05 / 3**0.5, rel=0.02)


def test_sigmoid_images_lie_between_zero_and_one():
    generator, _ = build("mlp", ImageShape(1, 8), "model.generator.output=sigmoid")
    assert generator.pixel_range == (0, 1)
    assert generator(torch.randn(50, 100)).min() >= 0


def test_a_linear_ending_never_goes_flat_and_is_cut_off_only_in_images():
    generator, _ = build("mlp", ImageShape(1, 8), "model.generator.output=linear")
    with torch.no_grad():
        generator.layers[-3].bias.fill_(5.0)
    images = generator(torch.randn(3, 100))
    images.sum().backward()
    assert images.min() > 3 and torch.equal(generator.layers[-3].bias.grad, torch.full((64,), 3.0))
    assert sampling.generate(generator, torch.randn(3, 100), None, 3).unique().tolist() == [255]


@pytest.mark.parametrize(("name", "mixes"), [("mlp", False), ("dcgan", True)])
def test_only_batch_norm_makes_a_image_depend_on_its_neighbours(name, mixes):
    _, discriminator = build(name, ImageShape(1, 16))
    assert layers.has_batch_norm(discriminator) is mixes
    discriminator.train()
    for module in discriminator.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    images = torch.randn(6, 1, 16, 16)
    alone, among = discriminator(images[:3]), discriminator(images)[:3]
    assert torch.allclose(alone, among, atol=1e-5) is not mixes


def test_changing_one_player_leaves_the_others_first_weights_alone(make_run):
    plain, other = make_run(), make_run("model.generator.hidden=[8]")
    for a, b in zip(plain.players.discriminator.parameters, other.players.discriminator.parameters, strict=True):
        assert torch.equal(a, b)


def test_a_norm_on_the_logit_keeps_a_discriminator_from_telling_two_batches_apart():
    """Even where real and fake could not be easier to tell apart, its loss stays at or above 2 log 2."""
    discriminator = build("conv_logit_norm", ImageShape(1, 28))[1].train()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.01)
    stream = torch.Generator().manual_seed(0)
    for _ in range(20):
        light, dark = (torch.rand(16, 1, 28, 28, generator=stream) + shift for shift in (0.0, -1.0))
        loss = F.softplus(-discriminator(light)).mean() + F.softplus(discriminator(dark)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.item() >= 2 * math.log(2) - 1e-6


def test_the_residual_network_has_as_many_maps_as_the_image_can_be_halved():
    generator, discriminator = build("residual", ImageShape(1, 28))
    assert residual.stages(ImageShape(1, 28), 16) == ([28, 14, 7], [16, 32, 64])
    assert residual.stages(ImageShape(3, 64), 16) == ([64, 32, 16, 8], [16, 32, 64, 64])
    assert generator.layers[0].out_features == 64 * 7 * 7 and discriminator.feature_count == 64 * 7 * 7
    assert not any(isinstance(module, nn.BatchNorm2d) for module in [*generator.modules(), *discriminator.modules()])


def test_an_activation_may_be_named_made_or_half_made():
    image = ImageShape(1, 12)
    for given in ("relu", "{_target_: torch.nn.ReLU}", "{_target_: torch.nn.ReLU, _partial_: true}"):
        cfg = composed(f"model.generator.activation={given}")
        generator = instantiate(cfg.model.generator, image, 8, _convert_="all")
        made = [module for module in generator.modules() if isinstance(module, nn.ReLU)]
        assert len(made) == len(set(made)) == 3


def test_a_residual_block_begins_as_its_activation_and_can_learn():
    _, discriminator = build("residual", ImageShape(1, 28))
    for block in (module for module in discriminator.modules() if isinstance(module, residual.ResidualBlock)):
        maps = torch.randn(2, block.first.in_channels, 8, 8)
        assert torch.equal(block(maps), F.leaky_relu(maps, 0.2))
        block(maps).square().sum().backward()
        assert block.second.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [8, 28, 64, 256])
def test_what_passes_an_untrained_residual_network_keeps_its_size_however_deep_it_is(size):
    torch.manual_seed(0)
    generator, discriminator = build("residual", ImageShape(3, size), "model.generator.output=linear")
    with torch.no_grad():
        images = generator(torch.randn(16, 100))
        logits = discriminator(images)
    assert 0.3 < images.square().mean().sqrt() < 1.5
    assert 0.05 < logits.std() < 1.5 and logits.abs().max() < 5  # from one image to the next


@pytest.mark.parametrize(("side", "other"), [(28, 14), (7, 4), (14, 28), (5, 9)])
def test_maps_shrink_to_means_and_grow_between_neighbours(side, other):
    maps = torch.rand(2, 3, side, side)
    resized = residual.Resize(other)(maps)
    assert resized.shape == (2, 3, other, other) and maps.min() <= resized.min() and resized.max() <= maps.max()
    if side == 2 * other:
        assert torch.allclose(resized, maps.unflatten(2, (other, 2)).unflatten(4, (other, 2)).mean((3, 5)), atol=1e-6)


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
    assert torch.equal(inputs.grad * 3, outputs)  # the gradient goes through the same mask


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    dropped = (layers.Dropout(0.3)(torch.ones(250_000, 4)) == 0).double()
    assert (torch.corrcoef(dropped.T) - torch.eye(4)).abs().max() < 0.01
    assert dropped.mean(0).tolist() == pytest.approx([0.3] * 4, abs=0.004)  # four decisions share a random number


def test_dropout_is_the_seeds_and_does_nothing_when_sampling():
    layer, inputs = layers.Dropout(0.5), torch.ones(5, 7, 3)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(layer(inputs))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    assert layer.eval()(inputs) is inputs
    assert torch.equal(layers.Dropout(1.0)(inputs), torch.zeros_like(inputs))
