"""The names that are nearest to what was typed, without a command line."""

import pytest
from omegaconf import OmegaConf

from gan.config.options import default_settings, option_files
from gan.config.suggestions import LIMIT, NAMES_ELSEWHERE, SYNONYMS, known_settings, nearest_options, nearest_settings
from tests.conftest import composed


def settings_of(*overrides):
    return OmegaConf.to_container(composed("model=mlp", *overrides), resolve=False)


@pytest.mark.parametrize(
    ("typed", "value", "first"),
    [
        ("epochs", "3", "train.epochs=3"),
        ("nz", "64", "noise.dim=64"),
        ("learning_rate", "0.1", "optim.generator.lr=0.1"),
        ("lr_d", "0.1", "optim.discriminator.lr=0.1"),
        ("train.lr", "0.1", "optim.generator.lr=0.1"),
        ("optim.genrator.lr", "0.1", "optim.generator.lr=0.1"),
        ("optim.generator.lrr", "0.1", "optim.generator.lr=0.1"),
        ("noise.dims", "64", "noise.dim=64"),
        ("batchSize", "8", "train.batch_size=8"),
        ("batch-size", "8", "train.batch_size=8"),
        ("ema", "0.9", "train.ema_decay=0.9"),
        ("gpu", "0", "device=cuda"),
        ("workers", "2", "threads=2"),
        ("optimiser", "SGD", "optim=sgd"),
        ("optimizer", "rmsprop", "optim=NAME"),
        ("gamma", "5", "'trick=[r1]' trick.r1.gamma=5"),
        ("width", "32", "model=dcgan model.generator.width=32"),
        ("momentum", "0.9", "optim=sgd optim.generator.momentum=0.9"),
        ("hidden", "[8,16]", "'model.generator.hidden=[8,16]'"),
        ("output_dir", "outputs/x", "hydra.run.dir=outputs/x"),
        ("r1", "true", "'trick=[r1]'"),
    ],
)
def test_the_nearest_setting(typed, value, first):
    found = nearest_settings(typed, value, settings_of())
    assert found[0] == first and len(found) <= LIMIT


def test_a_choice_of_a_trick_keeps_those_that_are_chosen():
    (found,) = nearest_settings("trick.dragan.weight", "5", settings_of("trick=[r1,instance_noise]"))
    assert found == "'trick=[r1,instance_noise,dragan]' trick.dragan.weight=5"


@pytest.mark.parametrize("typed", ["qqq", "zzz.yyy", "x"])
def test_what_resembles_nothing_gets_no_suggestion(typed):
    assert nearest_settings(typed, "1", settings_of()) == []


@pytest.mark.parametrize(
    ("group", "typed", "first"),
    [
        ("model", "DCGAN", "model=dcgan"),
        ("model", "conf/model/mlp.yaml", "model=mlp"),
        ("dataset", "cifar-10", "dataset=cifar10"),
        ("loss", "wgan-gp", "'trick=[wgan_gp]'"),
        ("loss", "bce", "loss=nonsaturating"),
        ("loss", "wgan", "loss=wasserstein"),
        ("experiment", "r1", "experiment=trick/r1"),
        ("experiment", "none", "'experiment=[]'"),
    ],
)
def test_the_nearest_option(group, typed, first):
    found = nearest_options(group, typed, f"{group}={typed}", list(option_files(group)))
    assert found[0] == first and len(found) <= LIMIT


def test_each_name_of_other_repositories_stands_for_something_of_ours():
    programs = [known_settings(default_settings(name), False) for name in ("train", "sample", "evaluate", "data")]
    for ours in NAMES_ELSEWHERE:
        name, _, value = ours.partition("=")
        assert any(name in known for known in programs), ours
        assert not option_files(name) or value in option_files(name), ours
    assert not set(SYNONYMS) & set().union(*programs)
