"""Virtual batch normalization of the generator."""

import pytest
import torch
from torch import nn

import gan
from gan.config.errors import ConfigError
from gan.models.layers import has_batch_norm
from gan.training import loop
from gan.tricks.virtual_batch_norm import VirtualBatchNormLayer
from tests.conftest import NARROW

DCGAN = ["model=dcgan", "dataset.image_size=16", *NARROW["dcgan"]]


def test_an_input_is_normalized_by_itself_and_the_reference_batch():
    layer = VirtualBatchNormLayer(nn.BatchNorm1d(1, eps=0), reference_count=2)
    outputs = layer(torch.tensor([[0.0], [2.0], [4.0], [100.0]])).flatten().tolist()
    # The reference alone: mean 1, variance 1. With 4: mean 2, variance (4 + 0 + 4) / 3.
    assert outputs[:2] == pytest.approx([-1, 1])
    assert outputs[2] == pytest.approx(2 / (8 / 3) ** 0.5, rel=1e-5)
    assert outputs[3] == pytest.approx(66 / ((34**2 + 32**2 + 66**2) / 3) ** 0.5, rel=1e-5)  # mean 34


def test_the_statistics_of_maps_are_those_of_all_their_pixels():
    layer, maps = VirtualBatchNormLayer(nn.BatchNorm2d(3), reference_count=4), torch.randn(5, 3, 2, 2)
    expected = nn.BatchNorm2d(3).train()(maps)  # over the reference and one input is over all five
    assert torch.allclose(layer(maps)[4], expected[4], atol=1e-5)
    assert torch.allclose(layer(maps)[:4], nn.BatchNorm2d(3).train()(maps[:4]), atol=1e-5)


@pytest.mark.parametrize("tricks", ["virtual_batch_norm", "conditional,virtual_batch_norm"])
def test_an_image_does_not_depend_on_the_others_of_its_batch_in_training(make_run, tricks):
    run = make_run(f"trick=[{tricks}]", *DCGAN)
    generator, noise = run.generator.train(), torch.randn(6, 100)
    labels = [torch.arange(6)] if "conditional" in tricks else []
    together, alone = generator(noise, *labels), generator(noise[:2], *(label[:2] for label in labels))
    assert together.shape == (6, 1, 16, 16) and torch.allclose(together[:2], alone, atol=1e-5)
    assert not has_batch_norm(generator)
    for _ in range(2):
        metrics = loop.training_step(run)
        run.step += 1
    assert all(value.isfinite() for value in metrics.values())


def test_the_reference_batch_stays_and_is_in_the_checkpoint_and_the_file(make_run, tmp_path):
    run = make_run("trick=[virtual_batch_norm]", "train.max_steps=2", "watch.samples=4", *DCGAN)
    before = run.generator.reference_noise.clone()
    loop.train(run, tmp_path)
    assert torch.equal(run.generator.reference_noise, before) and before.std() > 0.5
    opened = gan.load(tmp_path)
    assert torch.equal(opened.generator.reference_noise, before)
    assert opened.export(tmp_path / "generator.safetensors").exists()
    images = opened.sample(3)
    assert torch.equal(images[:1], opened.sample(1)) and not torch.equal(images[0], images[1])


def test_without_batch_norm_to_replace_it_is_one_sentence(make_run):
    with pytest.raises(ConfigError, match="norm=batch"):
        make_run("trick=[virtual_batch_norm]", "model=mlp_plain")
