"""What all tricks have in common."""

import inspect

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from gan.training import loop
from gan.tricks.base import Trick, Tricks
from tests.conftest import CONF, NARROW, options

NODES = {name: OmegaConf.load(CONF / "trick" / f"{name}.yaml").trick[name] for name in options("trick")}


@pytest.mark.parametrize("name", [name for name, node in NODES.items() if "_target_" in node])
def test_the_defaults_of_a_trick_are_the_values_of_its_yaml(name):
    parameters = inspect.signature(get_class(NODES[name]._target_)).parameters.values()
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters)
    defaults = {parameter.name: parameter.default for parameter in parameters}
    assert {key: value for key, value in NODES[name].items() if key != "_target_"} == defaults


def test_the_default_hooks_do_nothing():
    tricks, images, loss = Tricks([Trick(), Trick()]), torch.randn(2, 1, 4, 4), torch.tensor(3.0)
    logits = torch.zeros(2)
    assert tricks.replay(images) is images and tricks.augment(images) is images
    assert tricks.observe(images, images, logits, logits) == tricks.penalties(torch.sum, images, images) == {}
    assert tricks.generator_loss(loss, torch.sum, images, images) is loss
    assert tricks.find_failures(5, {}) == [] and tricks.state_dict() == {"tricks": [{}, {}]}


def test_each_trick_acts_on_the_result_of_the_previous_one():
    class Double(Trick):
        def augment(self, images):
            return 2 * images

        replay = augment

    class AddOne(Trick):
        def augment(self, images):
            return images + 1

        replay = augment

        def generator_loss(self, loss, features, real, fake):
            return loss + features(real).sum()

    images = torch.ones(1, 1, 1, 1)
    for tricks, expected in (([Double(), AddOne()], 3), ([AddOne(), Double()], 4)):
        assert Tricks(tricks).augment(images) == Tricks(tricks).replay(images) == expected
        # G's loss, too, sees the augmented images.
        assert Tricks(tricks).generator_loss(torch.tensor(10.0), lambda x: x, images, images) == 10 + expected


def test_tricks_that_are_only_numbers_set_them(make_run):
    run = make_run("trick=[two_time_scale,more_discriminator]", *NARROW["mlp"])
    assert [player.optimizer.defaults["lr"] for player in run.players] == [1e-4, 4e-4]
    loop.training_step(run)
    updates = [int(next(iter(player.optimizer.state.values()))["step"]) for player in run.players]
    assert updates == [1, 5]
