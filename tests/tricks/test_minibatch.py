"""Tricks with which D compares images, on numbers computed by hand."""

import math

import pytest
import torch
from torch import nn

from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.models.base import Discriminator, Generator
from gan.training import loop
from gan.tricks.gradient_penalty import R1
from gan.tricks.minibatch import MinibatchDiscriminationLayer, MinibatchStddevLayer, Pack, Packing
from tests.conftest import NARROW


def test_minibatch_stddev_is_the_mean_standard_deviation_within_a_group():
    features = torch.tensor([[1.0, 5.0], [3.0, 5.0], [0.0, 0.0], [0.0, 8.0]])  # two groups of two
    outputs = MinibatchStddevLayer(2)(features)
    assert torch.equal(outputs[:, :2], features)
    assert outputs[:, 2].tolist() == pytest.approx([0.5, 0.5, 2.0, 2.0], abs=1e-3)  # (1 + 0) / 2 and (0 + 4) / 2


def test_minibatch_stddev_of_feature_maps_is_a_constant_map():
    outputs = MinibatchStddevLayer(2)(torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 4, 4))
    assert outputs.shape == (2, 4, 4, 4) and torch.allclose(outputs[:, 3], torch.tensor(0.5), atol=1e-4)


def test_minibatch_discrimination_is_the_mean_closeness_to_the_other_images():
    layer = MinibatchDiscriminationLayer(inputs=3, kernels=2, dims=1)
    nn.init.constant_(layer.project.weight, 1.0)
    features = torch.tensor([[0.0, 0, 0], [0, 0, 0], [math.log(2), 0, 0], [99, 0, 0]])
    closeness = layer(features)[:, 3:]
    expected = torch.tensor([1 + 0.5, 1 + 0.5, 0.5 + 0.5, 0.0]) / 3  # exp(-distance)
    assert torch.allclose(closeness, expected[:, None].expand(4, 2), atol=1e-5)


@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv_logit_norm", "maxout"])
@pytest.mark.parametrize("trick", ["minibatch_stddev", "minibatch_discrimination"])
def test_the_logit_of_an_image_depends_on_the_other_images(make_run, model, trick):
    narrow = NARROW[model.split("_")[0]]
    run = make_run(f"model={model}", f"trick=[{trick}]", "dataset.image_size=16", *narrow)
    discriminator = run.players.discriminator.network.eval()
    same = torch.randn(1, 1, 16, 16).expand(8, -1, -1, -1)
    different = torch.cat([same[:1], torch.randn(7, 1, 16, 16)])
    assert not torch.allclose(discriminator(same)[0], discriminator(different)[0])


def test_a_pack_has_the_channels_of_its_images():
    images = torch.randn(6, 3, 4, 4)
    packed = Pack(2)(images)
    assert packed.shape == (3, 6, 4, 4)
    assert torch.equal(packed[1], torch.cat([images[2], images[3]]))


@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv", "maxout", "residual"])
def test_with_packing_the_discriminator_has_one_logit_for_each_pack(make_run, model):
    packing = ["trick=[packing]", "trick.packing.images=4"]
    run = make_run(f"model={model}", *packing, "dataset.image_size=16", *NARROW[model])
    discriminator = run.players.discriminator.network.eval()
    images = torch.randn(8, 1, 16, 16)
    logits = discriminator(images)
    changed = images.clone()
    changed[5] += 1
    assert logits.shape == (2,)
    assert torch.equal(discriminator(changed)[0], logits[0]) and discriminator(changed)[1] != logits[1]
    assert {"discriminator/loss", "generator/loss"} <= loop.training_step(run).keys()


def test_with_packing_the_gradient_norm_is_that_of_the_whole_pack():
    discriminator = Discriminator(nn.Sequential(nn.Flatten()), nn.Linear(4, 1))
    discriminator.features.append(nn.Linear(4, 4, bias=False))
    nn.init.eye_(discriminator.features[1].weight)
    Packing(images=2).modify_networks(Generator(nn.Linear(2, 4)), discriminator, ImageShape(1, 2))
    first, last = discriminator.features[2].weight, discriminator.logit[0].weight
    expected = (last @ first).square().sum().item()  # over the 8 pixels of a pack
    images = torch.randn(6, 1, 2, 2)
    assert R1(gamma=2.0).penalties(discriminator, images, images)["r1"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("overrides", "setting"),
    [
        (["trick=[packing]", "trick.packing.images=3"], "trick.packing.images=3"),
        (["trick=[packing]", "trick.packing.images=1"], "trick.packing.images=1"),
        (["trick=[packing,conditional]"], "trick=conditional"),
        (["trick=[packing]", "model.discriminator.hidden=[]"], "trick=packing"),
        (["trick=[minibatch_stddev]", "trick.minibatch_stddev.group_size=3"], "trick.minibatch_stddev.group_size=3"),
        (["trick=[minibatch_stddev]", "trick.minibatch_stddev.group_size=1"], "trick.minibatch_stddev.group_size=1"),
        (["trick=[packing,minibatch_stddev]", "trick.packing.images=4"], "trick.minibatch_stddev.group_size=4"),
    ],
)
def test_sizes_that_do_not_divide_the_batch_and_tricks_that_do_not_go_together_are_config_errors(
    make_run, overrides, setting
):
    narrow = NARROW["mlp"] if "model.discriminator.hidden=[]" not in overrides else NARROW["mlp"][:1]
    with pytest.raises(ConfigError, match=setting):
        make_run(*narrow, *overrides)
