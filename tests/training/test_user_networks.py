"""Networks of a user's own module: with which tricks they train, and the check of their inputs and outputs."""

import copy
import errno
import sys

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from gan.config import check
from gan.config.errors import ConfigError
from gan.models.base import Discriminator, Generator
from gan.training import build, compatibility, loop
from gan.tricks.base import Tricks
from tests.conftest import composed, options
from tests.test_step import flat_weights

MODULE = '''
import torch
from torch import nn

from gan.models import base


class PlainG(nn.Module):
    def __init__(self, image, noise_dim, sigmoid=False):
        super().__init__()
        self.shape = (image.channels, image.size, image.size)
        self.first, self.last = nn.Linear(noise_dim, 16), nn.Linear(16, image.pixels)
        if sigmoid:
            self.pixel_range = (0.0, 1.0)

    def forward(self, noise):
        pixels = self.last(torch.relu(self.first(noise)))
        return (pixels.sigmoid() if hasattr(self, "pixel_range") else pixels.tanh()).unflatten(1, self.shape)


class PlainD(nn.Module):
    def __init__(self, image):
        super().__init__()
        self.down = nn.Conv2d(image.channels, 4, 4, stride=4)
        self.last = nn.Linear(4 * (image.size // 4) ** 2, 1)

    def forward(self, images):
        return self.last(torch.relu(self.down(images)).flatten(1))


class DerivedG(base.Generator):
    def __init__(self, image, noise_dim, norm=False):
        shape, norms = (image.channels, image.size, image.size), [nn.BatchNorm1d(16)] if norm else []
        super().__init__(nn.Sequential(
            nn.Linear(noise_dim, 16), *norms, nn.ReLU(), nn.Linear(16, image.pixels), nn.Tanh(), nn.Unflatten(1, shape)
        ))


class DerivedD(base.Discriminator):
    def __init__(self, image, norm=False):
        norms = [nn.BatchNorm1d(16)] if norm else []
        super().__init__(
            nn.Sequential(nn.Flatten(), nn.Linear(image.pixels, 16), *norms, nn.LeakyReLU(0.2)), nn.Linear(16, 1)
        )


class WithBuffers(nn.Module):
    """Batch normalization, dropout, and random numbers of its own."""

    def __init__(self, image, noise_dim):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(noise_dim, image.pixels), nn.BatchNorm1d(image.pixels), nn.Dropout(0.5),
            nn.Unflatten(1, (image.channels, image.size, image.size)),
        )

    def forward(self, noise):
        return self.layers(noise + torch.randn_like(noise))


class SmallG(WithBuffers):
    def forward(self, noise):
        return self.layers(noise)[:, :, 1:]


class TupleG(WithBuffers):
    def forward(self, noise):
        return self.layers(noise), noise


class RaisingG(WithBuffers):
    def forward(self, noise):
        raise RuntimeError("out of ideas\\nsecond line")


class TwoLogitsD(PlainD):
    def __init__(self, image):
        super().__init__(image)
        self.last = nn.Linear(self.last.in_features, 2)


class TupleD(PlainD):
    def forward(self, images):
        return super().forward(images), images


class ReshapingD(PlainD):
    def forward(self, images):
        return super().forward(images.view(-1, 1, 16, 16))


class RaisingD(PlainD):
    def forward(self, images):
        raise ValueError("expected 3 channels")


class DerivedTupleG(DerivedG):
    def forward(self, noise, labels=None):
        return super().forward(noise, labels), noise


class DerivedWrongFeaturesD(base.Discriminator):
    def __init__(self, image):
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(image.pixels, 16)), nn.Linear(17, 1))
'''
PLAIN, DERIVED = ("PlainG", "PlainD"), ("DerivedG", "DerivedD")


@pytest.fixture
def own_run(tmp_path, monkeypatch, small):
    """A function that builds a run with networks of a module outside of this project."""
    (tmp_path / "own_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def make(pair, *overrides, **arguments):
        cfg = composed(*small, "dataset.image_size=16", *overrides)
        settings = check.check_config(cfg)
        names = zip(("generator", "discriminator"), pair, strict=True)
        model = {player: {"_target_": f"own_networks.{name}"} for player, name in names}
        for player, values in arguments.items():
            model[player] |= values
        OmegaConf.update(cfg, "model", model, merge=False)
        return build.build_run(cfg, settings, {})

    yield make
    sys.modules.pop("own_networks", None)


def train_two_steps(run):
    """Train, and check that both players were updated and nothing was infinite."""
    before = [flat_weights(player) for player in run.players]
    for _ in range(2):
        metrics = loop.training_step(run)
        run.metrics.add(metrics)
        run.step += 1
        run.ema.update(run.step)
    assert loop.find_non_finite(run) is None and metrics.keys() >= {"discriminator/loss", "generator/loss"}
    assert not any(
        torch.equal(weights, flat_weights(player)) for weights, player in zip(before, run.players, strict=True)
    )


NEEDS_FEATURES = [
    "clusters",
    "conditional",
    "feature_matching",
    "infogan",
    "minibatch_discrimination",
    "minibatch_stddev",
]
NEEDS_BATCH_NORM = ["separate_batches", "virtual_batch_norm"]
OTHERS = [name for name in options("trick") if name not in NEEDS_FEATURES + NEEDS_BATCH_NORM]


def test_a_plain_pair_trains_without_tricks(own_run):
    run = own_run(PLAIN, "trick=[]")
    train_two_steps(run)
    assert run.generator.pixel_range == (-1.0, 1.0)


@pytest.mark.parametrize("trick", OTHERS)
def test_a_plain_pair_trains_with_every_trick_that_needs_no_features(own_run, trick):
    train_two_steps(own_run(PLAIN, f"trick=[{trick}]"))


def test_the_tricks_that_were_tried_with_a_plain_pair_are_no_fewer_than_these():
    assert {
        "diffaugment", "adaptive_augment", "instance_noise", "r1", "wgan_gp", "dragan", "spectral_norm", "packing",
        "replay", "generator_noise", "generator_dropout", "track_failures", "weight_clipping", "noisy_labels",
    } <= set(OTHERS)  # fmt: skip


@pytest.mark.parametrize("trick", NEEDS_FEATURES)
def test_a_trick_that_needs_features_is_an_error_that_names_it_where_the_discriminator_has_none(own_run, trick):
    with pytest.raises(ConfigError, match=rf"trick={trick}\b.*model\.discriminator") as caught:
        own_run(PLAIN, f"trick=[{trick}]")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("trick", options("trick"))
def test_a_pair_of_the_base_classes_trains_with_every_trick(own_run, trick):
    player = {"separate_batches": "discriminator", "virtual_batch_norm": "generator"}.get(trick)
    norm = {player: {"norm": True}} if player else {}
    train_two_steps(own_run(DERIVED, f"trick=[{trick}]", **norm))


def test_every_loss_trains_a_plain_pair_in_bf16(own_run):
    for loss in options("loss"):
        trick = "[weight_clipping]" if loss == "wasserstein" else "[]"
        train_two_steps(own_run(PLAIN, f"loss={loss}", f"trick={trick}", "precision=bf16"))


def test_real_images_are_scaled_to_the_pixel_range_of_a_plain_generator(own_run, monkeypatch):
    run = own_run(PLAIN, generator={"sigmoid": True})
    batches, original_step = [], loop.step
    monkeypatch.setattr(loop, "step", lambda *arguments: batches.extend(arguments[-1]) or original_step(*arguments))
    train_two_steps(run)
    assert run.generator.pixel_range == (0.0, 1.0)
    assert min(batch.real.min() for batch in batches) == 0 and 0.5 < max(batch.real.max() for batch in batches) <= 1


@pytest.mark.parametrize(
    ("pair", "player", "words"),
    [
        (("SmallG", "PlainD"), "generator", "15"),
        (("TupleG", "PlainD"), "generator", "tuple"),
        (("DerivedTupleG", "PlainD"), "generator", "tuple"),
        (("RaisingG", "PlainD"), "generator", "out of ideas"),
        (("PlainG", "TwoLogitsD"), "discriminator", r"\(16,\)"),  # two for each of 8 images
        (("PlainG", "TupleD"), "discriminator", "tuple"),
        (("PlainG", "RaisingD"), "discriminator", "expected 3 channels"),
        (("PlainG", "DerivedWrongFeaturesD"), "discriminator", "16"),
    ],
)
def test_a_network_that_does_not_fit_is_an_error_that_names_it(own_run, pair, player, words):
    with pytest.raises(ConfigError, match=rf"^model\.{player} .*{words}") as caught:
        own_run(pair)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")


def test_a_network_that_does_not_fit_once_a_trick_has_modified_it_is_an_error(own_run):
    own_run(("PlainG", "ReshapingD"))
    with pytest.raises(ConfigError, match=r"^model\.discriminator "):
        own_run(("PlainG", "ReshapingD"), "trick=[packing]")


def test_the_check_of_the_networks_changes_neither_them_nor_the_random_state(own_run):
    run = own_run(("WithBuffers", "PlainD"))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    networks = Generator.wrap(copy.deepcopy(run.generator.layers)), Discriminator.wrap(discriminator)
    networks[1].features.eval()  # a mode that the check must restore, below a network in train mode
    before = [copy.deepcopy(network.state_dict()) for network in networks]
    modes = [[module.training for module in network.modules()] for network in networks]
    random_state = torch.get_rng_state()
    compatibility.check_networks(run.settings, run.image, *networks, Tricks([]))
    assert torch.equal(random_state, torch.get_rng_state())
    assert modes == [[module.training for module in network.modules()] for network in networks]
    for network, state in zip(networks, before, strict=True):
        after = network.state_dict()
        assert any(name.endswith("running_mean") for name in state)
        assert all(torch.equal(after[name], tensor) for name, tensor in state.items())
        assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("moment", ["__init__", "forward"])
def test_too_little_memory_for_a_network_is_no_wrong_setting(own_run, monkeypatch, moment):
    def fail(*_args, **_kwargs):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, moment, fail)
        with pytest.raises(OSError) as caught:
            own_run(("PlainG", "PlainD"))
    assert caught.value.errno == errno.ENOMEM
