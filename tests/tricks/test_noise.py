"""Noise on D's inputs and within G."""

import pytest
import torch

from gan.tricks.noise import InstanceNoise, add_noise
from tests.conftest import NARROW


def test_instance_noise_decays_to_exactly_zero():
    trick, images = InstanceNoise(std=0.5, fade_steps=10), torch.zeros(4, 1, 50, 50)
    for step, expected in [(0, 0.5), (5, 0.25), (9, 0.05)]:
        trick.begin_step(step)
        assert trick.augment(images).std().item() == pytest.approx(expected, rel=0.05)
    trick.begin_step(10)
    assert trick.augment(images) is images


@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv", "maxout", "residual"])
@pytest.mark.parametrize("trick", ["generator_noise", "generator_dropout"])
def test_noise_within_the_generator_is_also_there_when_sampling_and_depends_on_the_seed(make_run, model, trick):
    run = make_run(f"model={model}", f"trick=[{trick}]", "dataset.image_size=8", *NARROW[model])
    plain = make_run(f"model={model}", "trick=[]", "dataset.image_size=8", *NARROW[model])
    generator, plain_generator = (each.players.generator.network.eval() for each in (run, plain))
    noise = torch.randn(8, 100)
    weights = zip(generator.parameters(), plain_generator.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    images = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        images.append(generator(noise))
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])
    assert not torch.equal(images[0], plain_generator(noise))


def test_noise_within_the_generator_is_relative_to_the_standard_deviation_of_each_image():
    inputs = torch.randn(50, 1000) * torch.linspace(1, 5, 50)[:, None]
    added = add_noise(inputs, 0.2) - inputs
    assert torch.allclose(added.std(1) / inputs.std(1), torch.tensor(0.2), rtol=0.15)


def test_the_grids_of_a_step_always_have_the_same_noise_within_the_generator(train_here, tmp_path):
    for name, period in (("a", 1), ("b", 2)):
        few = ["train.max_steps=2", f"watch.samples_every={period}"]
        train_here(tmp_path / name, "trick=[generator_dropout]", *few)
    a, b = ((tmp_path / name / "samples" / "step_0000002.png").read_bytes() for name in ("a", "b"))
    assert a == b
