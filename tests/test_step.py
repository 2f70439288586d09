"""The step is the textbook's, and moves one player at a time."""

import copy
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gan.data.image_shape import ImageShape
from gan.losses import NonSaturating
from gan.models.base import Discriminator, Generator
from gan.numerics import NonFiniteGuard
from gan.optim import adam, sgd
from gan.player import Player, Players
from gan.step import Batch, step, step_discriminator, step_generator
from gan.system import device, files
from gan.training import loop
from gan.tricks.base import Tricks
from gan.tricks.noise import InstanceNoise
from tests.conftest import TINY, options

LOSS = NonSaturating(terms="sum", real_target=1.0, fake_target=0.0)
NO_TRICKS = Tricks([])
ADAM = {"lr": 1e-3, "betas": (0.5, 0.999), "eps": 1e-8, "weight_decay": 0.0}


def make_players(precision="fp32"):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
    generator = Generator(layers)
    discriminator = Discriminator(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.2)), nn.Linear(16, 1))
    guard = NonFiniteGuard(torch.device("cpu"))
    guard.step.fill_(1)
    return Players(
        Player(generator, adam(generator.parameters(), **ADAM), {}, guard, precision),
        Player(discriminator, adam(discriminator.parameters(), **ADAM), {}, guard, precision),
    )


def weights(player):
    return torch.cat([parameter.detach().flatten() for parameter in player.parameters]).clone()


@pytest.fixture
def batch():
    stream = torch.Generator().manual_seed(1)
    real = torch.rand(6, 1, 8, 8, generator=stream) * 2 - 1
    return real, torch.randn(6, 4, generator=stream), torch.randn(6, 4, generator=stream)


def test_a_player_moves_only_in_its_own_step(batch):
    players = make_players()
    real, noise, _ = batch
    before = [weights(player) for player in players]
    step_discriminator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator.generate(noise))
    assert torch.equal(before[0], weights(players.generator)) and not torch.equal(
        before[1], weights(players.discriminator)
    )
    between = weights(players.discriminator)
    step_generator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator(noise))
    assert torch.equal(between, weights(players.discriminator)) and not torch.equal(
        before[0], weights(players.generator)
    )


def test_no_gradient_is_computed_to_be_thrown_away(batch):
    players = make_players()
    real, noise, _ = batch
    step_discriminator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator.generate(noise))
    assert all(parameter.grad is None for parameter in players.generator.parameters)
    players.discriminator.optimizer.zero_grad()
    step_generator(players, LOSS, NO_TRICKS, Batch(real, noise), players.generator(noise))
    assert all(parameter.grad is None for parameter in players.discriminator.parameters)


def textbook(players, update, reuse, real, noise_d, noise_g):
    """The tutorial's loop: BCE on labels, two backward passes for D, gradients of both networks computed."""
    generator, discriminator = (copy.deepcopy(player.network) for player in players)
    move_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    move_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
    bce = F.binary_cross_entropy_with_logits

    def d_step(fake):
        move_d.zero_grad()
        bce(discriminator(real), ones).backward()
        bce(discriminator(fake.detach()), zeros).backward()
        move_d.step()

    def g_step(fake):
        move_g.zero_grad()
        bce(discriminator(fake), ones).backward()
        move_g.step()

    if update == "discriminator_first":
        fake = generator(noise_d)
        d_step(fake)
        g_step(fake if reuse else generator(noise_g))
    elif update == "generator_first":
        fake = generator(noise_g)
        g_step(fake)
        d_step(fake if reuse else generator(noise_d))
    else:
        fake = generator(noise_g)
        gradients_g = torch.autograd.grad(bce(discriminator(fake), ones), list(generator.parameters()))
        d_step(fake)
        for parameter, gradient in zip(generator.parameters(), gradients_g, strict=True):
            parameter.grad = gradient
        move_g.step()
    return generator, discriminator


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("update", ["discriminator_first", "generator_first", "simultaneous"])
def test_without_tricks_the_step_is_the_textbooks(batch, update, reuse):
    players = make_players()
    real, noise_d, noise_g = batch
    expected = textbook(players, update, reuse, real, noise_d, noise_g)
    step(players, LOSS, NO_TRICKS, update, reuse, [Batch(real, noise_d), Batch(real, noise_g)])
    for player, network in zip(players, expected, strict=True):
        theirs = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
        assert torch.allclose(weights(player), theirs, atol=1e-6)


def test_the_discriminator_moves_once_for_each_of_its_batches(batch):
    players = make_players()
    real, noise_d, noise_g = batch
    step(players, LOSS, NO_TRICKS, "discriminator_first", False, [Batch(real, noise_d)] * 3 + [Batch(real, noise_g)])
    made = [int(next(iter(player.optimizer.state.values()))["step"]) for player in players]
    assert made == [1, 3]


def test_the_predictions_are_mean_probabilities(batch):
    players = make_players()
    real, noise_d, noise_g = batch
    fake = players.generator.generate(noise_d)
    expected = players.discriminator(real).sigmoid().mean(), players.discriminator(fake).sigmoid().mean()
    numbers = step(players, LOSS, NO_TRICKS, "discriminator_first", False, [Batch(real, noise_d), Batch(real, noise_g)])
    assert numbers["discriminator/real"].item() == pytest.approx(expected[0].item(), abs=1e-6)
    assert numbers["discriminator/fake"].item() == pytest.approx(expected[1].item(), abs=1e-6)
    total = numbers["discriminator/loss_real"] + numbers["discriminator/loss_fake"]
    assert numbers["discriminator/loss"].item() == pytest.approx(total.item(), abs=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gradient_that_is_not_finite_moves_nothing_though_the_loss_is(batch, precision):
    player = make_players(precision).discriminator
    before = weights(player)
    logits = player(batch[0])
    nothing = logits - logits
    loss = torch.where(nothing > 0, nothing.sqrt(), nothing).sum()  # 0, and its gradient is 0 times infinity
    player.update(loss)
    assert loss == 0 and player.guard.found_inf and int(player.failed_at) == 1
    assert torch.equal(before, weights(player))


@pytest.mark.parametrize(
    "optimizer", [lambda p: adam(p, **ADAM), lambda p: sgd(p, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)]
)
def test_a_loss_that_is_not_finite_moves_nothing_and_says_when(batch, optimizer):
    players = make_players()
    for player in players:
        player.optimizer = optimizer(player.parameters)
        player.optimizer.found_inf, player.optimizer.grad_scale = player.guard.found_inf, None
    real, noise_d, noise_g = batch
    players.begin_step(6, 0)
    step(players, LOSS, NO_TRICKS, "discriminator_first", False, [Batch(real, noise_d), Batch(real, noise_g)])
    before = [weights(player) for player in players]
    for number, images in [(7, real * float("nan")), (8, real)]:
        players.begin_step(number, 0)
        step(players, LOSS, NO_TRICKS, "discriminator_first", False, [Batch(images, noise_d), Batch(images, noise_g)])
    assert [int(player.failed_at) for player in players] == [0, 8]  # the eighth step, in D
    assert all(torch.equal(a, weights(player)) for a, player in zip(before, players, strict=True))


def test_half_precision_keeps_weights_and_logits_in_full(batch):
    players = make_players("bf16")
    real, noise_d, noise_g = batch
    assert players.discriminator(real).dtype == torch.float32
    numbers = step(players, LOSS, NO_TRICKS, "discriminator_first", False, [Batch(real, noise_d), Batch(real, noise_g)])
    assert numbers["discriminator/loss"].dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for player in players for parameter in player.parameters)


@pytest.mark.parametrize("loss", options("loss"))
def test_a_tiny_gan_learns_a_constant_image(make_run, loss):
    run = make_run(
        f"loss={loss}",
        "train.batch_size=16",
        "train.ema_decay=0.99",
        f"trick={'[wgan_gp]' if loss == 'wasserstein' else '[]'}",
        "dataset.image_size=8",
        "noise.dim=2",
        "model.generator.hidden=[16]",
        "model.discriminator.hidden=[16]",
        "model.discriminator.dropout=0",
        "optim.generator.lr=2e-3",
        "optim.generator.betas=[0.5,0.9]",
    )
    run.batches.images = torch.full((64, 1, 8, 8), 204, dtype=torch.uint8)  # 0.6 in [-1, 1]
    noise = torch.randn(64, 2)
    distance = []
    for _ in range(1000):
        if run.step in (0, 999):
            distance.append((run.ema.network(noise) - 0.6).abs().mean().item())
        loop.training_step(run)
        run.step += 1
        run.ema.update(run.step)
    assert run.ema.network(noise).mean().item() == pytest.approx(0.6, abs=0.05)
    assert distance[0] > 0.5 and distance[1] < 0.15


def test_instance_noise_fades_to_exactly_nothing():
    trick, images = InstanceNoise(std=0.5, fade_steps=10), torch.zeros(4, 1, 50, 50)
    for number, expected in [(0, 0.5), (5, 0.25), (9, 0.05)]:
        trick.begin_step(number)
        assert trick.augment(images).std().item() == pytest.approx(expected, rel=0.05)
    trick.begin_step(10)
    assert trick.augment(images) is images


def test_tricks_change_neither_the_images_nor_the_noise(make_run, monkeypatch, play=loop.step):
    seen = []

    def played(*arguments):
        seen[-1] += [part for batch in arguments[-1] for part in (batch.real, batch.noise)]
        return play(*arguments)

    monkeypatch.setattr(loop, "step", played)
    for overrides in ([], ["trick=[instance_noise,soft_labels]"]):
        seen.append([])
        run = make_run(*overrides)
        for _ in range(3):
            loop.training_step(run)
            run.step += 1
    assert len(seen[0]) == 12 and all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_the_shape_of_a_image_counts_its_pixels():
    assert ImageShape(3, 32).pixels == 3072


def test_a_half_precision_player_runs_on_roundings_of_what_it_learns(make_run):
    run = make_run("precision=bf16", "model=dcgan", "trick=[]")
    for _ in range(2):
        loop.training_step(run)
        run.step += 1
    run.load_state_dict(run.state_dict())
    for player in run.players:
        pairs = list(zip(player.network.modules(), player.working.modules(), strict=True))
        halved = [(a, b) for a, b in pairs if isinstance(a, (nn.Conv2d, nn.ConvTranspose2d))]
        norms = [(a, b) for a, b in pairs if isinstance(a, nn.BatchNorm2d)]
        assert halved and norms
        assert all(
            torch.equal(b.weight, a.weight.bfloat16()) and a.weight.grad.dtype == torch.float32 for a, b in halved
        )
        assert all(a.weight is b.weight and a.running_mean is b.running_mean for a, b in norms)
        assert all(int(a.num_batches_tracked) > 0 for a, _ in norms)


@pytest.mark.parametrize(("of_half", "doubted"), [(0.5, False), (1.0, False), (1.5, True)])
def test_half_precision_is_doubted_where_its_products_are_slower(make_run, monkeypatch, caplog, of_half, doubted):
    monkeypatch.setattr(device, "matmul_seconds", lambda dtype: of_half if dtype == torch.bfloat16 else 1.0)
    make_run()
    assert not caplog.text
    make_run("precision=bf16")
    assert ("takes 1.5 times as long as one in fp32: precision=fp32 is likely" in caplog.text) is doubted


def test_a_step_reads_no_number(make_run):
    class Unread(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert function is not torch.ops.aten._local_scalar_dense.default, "a GPU would be waited for here"
            return function(*args, **(kwargs or {}))

    run = make_run("precision=bf16", "trick=[instance_noise,soft_labels]", "optim=goodfellow2014")
    with Unread():
        for _ in range(3):
            run.metrics.add(loop.training_step(run))
            run.step += 1
            run.ema.update(run.step)
        with pytest.raises(AssertionError, match="waited"):
            run.players.generator.failed_at.item()


def test_still_weights_pass_a_gradient_on_and_get_none(batch):
    discriminator = make_players().discriminator
    real = batch[0].requires_grad_()
    with discriminator.frozen():
        logits = discriminator(real)
    logits.sum().backward()
    assert real.grad.abs().sum() > 0 and all(parameter.grad is None for parameter in discriminator.parameters)
    assert all(parameter.requires_grad for parameter in discriminator.parameters)


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile wants a C++ compiler")
def test_a_compiled_run_gives_the_same_numbers(train, process, cache, tmp_path):
    """In a process of its own, since the compiler's threads would not outlive the forks of other tests."""
    few = ["train.max_steps=4", "watch.log_every=4", "watch.log_mean=false", "trick=[]", "threads=1"]
    assert train(*few, f"hydra.run.dir={tmp_path / 'plain'}").returncode == 0
    compiled = ["compile=true", f"cache_dir={cache}", f"hydra.run.dir={tmp_path / 'compiled'}"]
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiler"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    done = process("train.py", *TINY, *few, *compiled, **environment)
    assert done.returncode == 0, done.stderr
    (plain,), (other,) = (files.read_rows(tmp_path / name / "metrics.jsonl") for name in ("plain", "compiled"))
    assert plain.keys() == other.keys() and len(plain) > 6
    assert all(plain[name] == pytest.approx(other[name], rel=1e-4) for name in plain if "/" in name)


def test_a_run_takes_no_more_threads_than_it_may(make_run, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    make_run()
    make_run("threads=3")
    assert asked == [3]
