"""From a configuration to the objects that train."""

import torch
from torch import nn

from gan.config.schema import Settings
from gan.data.image_shape import ImageShape
from gan.training import build
from tests.conftest import composed


def test_torch_uses_the_number_of_threads_that_is_set(make_run, monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    make_run()
    make_run("threads=3")
    assert calls == [3]


def test_the_initial_weights_depend_on_the_seed_and_the_player_alone():
    image = ImageShape(1, 8)

    def weights(*overrides):
        networks = build.build_networks(composed(*overrides), image)
        return [nn.utils.parameters_to_vector(network.parameters()) for network in networks]

    torch.manual_seed(5)
    same, other = weights("seed=1"), weights("seed=2")
    torch.manual_seed(6)
    assert all(torch.equal(a, b) for a, b in zip(same, weights("seed=1"), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(same, other, strict=True))


def test_the_settings_of_a_run_are_those_of_its_configuration(make_run):
    run = make_run("train.batch_size=4", "noise.kind=sphere", "noise.dim=7")
    assert isinstance(run.settings, Settings) and run.settings.train.batch_size == 4
    assert (run.noise.kind, run.noise.dim, run.image, run.data.name) == ("sphere", 7, ImageShape(1, 28, 10), "digits")
    assert run.fixed_noise.shape == (64, 7)
