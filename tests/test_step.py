"""The step is the textbook's, updates one player at a time, and logs what it computed."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gan.losses import NonSaturating, Relativistic
from gan.models.base import Discriminator, Generator
from gan.numerics import NonFiniteGuard
from gan.optim import adam
from gan.player import Player, Players
from gan.step import Batch, step, step_discriminator, step_generator
from gan.training import loop
from gan.tricks.base import Tricks
from tests.conftest import NARROW, options

LOSS = NonSaturating()
NO_TRICKS = Tricks([])
ADAM = {"lr": 1e-3, "betas": (0.5, 0.999), "eps": 1e-8, "weight_decay": 0.0}
UPDATES = ["discriminator_first", "generator_first", "simultaneous"]


def make_players(precision="fp32", weight_clip=None):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
    generator = Generator(layers)
    discriminator = Discriminator(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.2)), nn.Linear(16, 1))
    guard = NonFiniteGuard(torch.device("cpu"))
    guard.step.fill_(1)
    return Players(
        Player(generator, adam(generator.parameters(), **ADAM), {}, guard, precision),
        Player(discriminator, adam(discriminator.parameters(), **ADAM), {}, guard, precision, weight_clip=weight_clip),
    )


def flat_weights(player):
    """A copy of all weights of a player, as one vector."""
    return torch.cat([weight.detach().flatten() for weight in player.parameters])


def make_batch():
    """Real images, and noise for the step of each player."""
    random = torch.Generator().manual_seed(1)
    real = torch.rand(6, 1, 8, 8, generator=random) * 2 - 1
    return real, torch.randn(6, 4, generator=random), torch.randn(6, 4, generator=random)


batch = pytest.fixture(make_batch)


def step_once(players, batch, update="discriminator_first", reuse_fakes=False):
    """A step without tricks. Returns its metrics."""
    real, noise_d, noise_g = batch
    return step(players, LOSS, NO_TRICKS, update, reuse_fakes, [Batch(real, noise_d), Batch(real, noise_g)])


@pytest.mark.parametrize("update", ["discriminator_first", "generator_first"])
def test_the_metrics_of_several_updates_of_d_are_their_mean(batch, update):
    real, noise_d, noise_g = batch
    batches = [Batch(real, noise_d), Batch(-real, noise_g), Batch(real, noise_g)]
    metrics = step(make_players(), LOSS, NO_TRICKS, update, False, batches)
    players, singles = make_players(), []
    if update == "generator_first":
        step_generator(players, LOSS, NO_TRICKS, batches[2], players.generator(noise_g))
    for one in batches[:2]:
        fake = players.generator.generate(one.noise)
        singles.append(step_discriminator(players, LOSS, NO_TRICKS, one, fake.detach()))
    for name in singles[0]:
        assert metrics[name].item() == pytest.approx((singles[0][name] + singles[1][name]).item() / 2, rel=1e-5), name
    assert singles[0]["discriminator/loss"] != singles[1]["discriminator/loss"]


def test_each_player_is_updated_in_its_own_step_only(batch):
    players = make_players()
    real, noise, _ = batch
    generator, discriminator = map(flat_weights, players)
    step_discriminator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator.generate(noise))
    assert torch.equal(generator, flat_weights(players.generator))
    assert not torch.equal(discriminator, flat_weights(players.discriminator))
    discriminator = flat_weights(players.discriminator)
    step_generator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator(noise))
    assert torch.equal(discriminator, flat_weights(players.discriminator))
    assert not torch.equal(generator, flat_weights(players.generator))


def test_no_gradient_is_computed_for_the_weights_of_the_other_player(batch):
    players = make_players()
    real, noise, _ = batch
    step_discriminator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator.generate(noise))
    assert all(weight.grad is None for weight in players.generator.parameters)
    players.discriminator.optimizer.zero_grad()
    step_generator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator(noise))
    assert all(weight.grad is None for weight in players.discriminator.parameters)


def textbook_step(players, update, reuse_fakes, real, noise_d, noise_g):
    """The tutorial's loop: BCE with labels, two backward passes for D, gradients of both networks computed."""
    generator, discriminator = (copy.deepcopy(player.network) for player in players)
    optimizer_g, optimizer_d = (
        torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999)) for network in (generator, discriminator)
    )
    ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
    bce = F.binary_cross_entropy_with_logits

    def update_discriminator(fake):
        optimizer_d.zero_grad()
        bce(discriminator(real), ones).backward()
        bce(discriminator(fake.detach()), zeros).backward()
        optimizer_d.step()

    def update_generator(fake):
        optimizer_g.zero_grad()
        bce(discriminator(fake), ones).backward()
        optimizer_g.step()

    if update == "discriminator_first":
        fake = generator(noise_d)
        update_discriminator(fake)
        update_generator(fake if reuse_fakes else generator(noise_g))
    elif update == "generator_first":
        fake = generator(noise_g)
        update_generator(fake)
        update_discriminator(fake if reuse_fakes else generator(noise_d))
    else:
        fake = generator(noise_g)
        gradients_g = torch.autograd.grad(bce(discriminator(fake), ones), list(generator.parameters()))
        update_discriminator(fake)
        for weight, gradient in zip(generator.parameters(), gradients_g, strict=True):
            weight.grad = gradient
        optimizer_g.step()
    return generator, discriminator


@pytest.mark.parametrize("reuse_fakes", [False, True])
@pytest.mark.parametrize("update", UPDATES)
def test_without_tricks_the_step_equals_the_textbook_step(batch, update, reuse_fakes):
    players = make_players()
    expected = textbook_step(players, update, reuse_fakes, *batch)
    step_once(players, batch, update, reuse_fakes)
    for player, network in zip(players, expected, strict=True):
        assert torch.allclose(flat_weights(player), nn.utils.parameters_to_vector(network.parameters()), atol=1e-6)


def test_the_discriminator_is_updated_once_for_each_of_its_batches(batch):
    players = make_players()
    real, noise_d, noise_g = batch
    step(players, LOSS, NO_TRICKS, "discriminator_first", False, [Batch(real, noise_d)] * 3 + [Batch(real, noise_g)])
    updates = [int(next(iter(player.optimizer.state.values()))["step"]) for player in players]
    assert updates == [1, 3]


def test_the_logged_predictions_are_mean_probabilities_and_the_loss_is_the_sum_of_its_terms(batch):
    players = make_players()
    real, noise_d, _ = batch
    fake = players.generator.generate(noise_d)
    expected = {
        "discriminator/real": players.discriminator(real).sigmoid().mean().item(),
        "discriminator/fake": players.discriminator(fake).sigmoid().mean().item(),
    }
    metrics = step_once(players, batch)
    assert {name: metrics[name].item() for name in expected} == pytest.approx(expected, abs=1e-6)
    total = metrics["discriminator/loss_real"] + metrics["discriminator/loss_fake"]
    assert metrics["discriminator/loss"].item() == pytest.approx(total.item(), abs=1e-6)


@pytest.mark.parametrize("update", UPDATES)
def test_the_logged_gradient_norms_are_those_of_the_textbook_losses(batch, update):
    players = make_players()
    real, noise_d, noise_g = batch
    before_g, before_d = (copy.deepcopy(player.network) for player in players)
    metrics = step_once(players, batch, update)
    after_g, after_d = (player.network for player in players)
    # The player that is updated second has the other one as its opponent after the update.
    opponent_g = after_g if update == "generator_first" else before_g
    opponent_d = after_d if update == "discriminator_first" else before_d
    fake = opponent_g(noise_g if update == "simultaneous" else noise_d).detach()
    loss_d = F.softplus(-before_d(real)).mean() + F.softplus(before_d(fake)).mean()
    loss_g = F.softplus(-opponent_d(before_g(noise_g))).mean()
    for name, loss, network in (("discriminator", loss_d, before_d), ("generator", loss_g, before_g)):
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        norm = math.sqrt(sum(gradient.double().square().sum().item() for gradient in gradients))
        assert metrics[f"{name}/gradient_norm"].item() == pytest.approx(norm, rel=1e-5) and norm > 0.01


@pytest.mark.parametrize("loss", options("loss"))
@pytest.mark.slow
def test_a_tiny_gan_learns_a_constant_image(make_run, loss):
    run = make_run(
        f"loss={loss}",
        "train.batch_size=16",
        "train.ema_decay=0.99",
        f"trick={'[wgan_gp]' if loss == 'wasserstein' else '[]'}",
        "dataset.image_size=8",
        "noise.dim=2",
        "model.generator.hidden=[16]",
        "model.generator.norm=none",
        "model.discriminator.hidden=[16]",
        "model.discriminator.dropout=0",
        "optim.generator.lr=2e-3",
        "optim.generator.betas=[0.5,0.9]",
    )
    run.batches.images = torch.full((64, 1, 8, 8), 204, dtype=torch.uint8)  # 0.6 in [-1, 1]
    noise = torch.randn(64, 2)
    distances = []
    for _ in range(1000):
        if run.step in (0, 999):
            distances.append((run.ema.network(noise) - 0.6).abs().mean().item())
        loop.training_step(run)
        run.step += 1
        run.ema.update(run.step)
    assert run.ema.network(noise).mean().item() == pytest.approx(0.6, abs=0.05)
    assert distances[0] > 0.5 and distances[1] < 0.15


def test_a_relativistic_loss_updates_every_matrix_of_the_generator(make_run):
    run = make_run("loss=relativistic", "trick=[]", *NARROW["mlp"])
    metrics = loop.training_step(run)
    assert isinstance(run.loss, Relativistic) and "discriminator/loss_pairs" in metrics
    assert all(weight.grad.abs().sum() > 0 for weight in run.players.generator.parameters if weight.dim() > 1)


def test_tricks_change_neither_the_real_images_nor_the_noise(make_run, monkeypatch, original_step=loop.step):
    inputs = []

    def recording_step(*arguments):
        inputs[-1] += [tensor for batch in arguments[-1] for tensor in (batch.real, batch.noise)]
        return original_step(*arguments)

    monkeypatch.setattr(loop, "step", recording_step)
    for overrides in ([], ["trick=[instance_noise,soft_labels]"]):
        inputs.append([])
        run = make_run(*overrides)
        for _ in range(3):
            loop.training_step(run)
            run.step += 1
    assert len(inputs[0]) == 12 and all(torch.equal(a, b) for a, b in zip(*inputs, strict=True))


def test_a_step_does_not_wait_for_the_device(make_run):
    class NoSynchronization(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert function is not torch.ops.aten._local_scalar_dense.default, "the host would wait for a GPU here"
            return function(*args, **(kwargs or {}))

    run = make_run("precision=bf16", "trick=[instance_noise,soft_labels]", "optim=goodfellow2014")
    with NoSynchronization():
        for _ in range(3):
            run.metrics.add(loop.training_step(run))
            run.step += 1
            run.ema.update(run.step)
        with pytest.raises(AssertionError, match="wait"):
            run.players.generator.failed_at.item()
