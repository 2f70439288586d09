"""A player: its precision, its gradient, and updates that are skipped where something is not finite."""

import math
import shutil

import pytest
import torch
from torch import nn

from gan.optim import adam, sgd
from gan.step import Batch, step, step_discriminator, step_generator
from gan.system import files
from gan.training import loop
from tests.conftest import NARROW, TINY
from tests.test_step import ADAM, LOSS, NO_TRICKS, flat_weights, make_batch, make_players, step_once

batch = pytest.fixture(make_batch)


def test_frozen_weights_pass_a_gradient_on_and_get_none(batch):
    discriminator = make_players().discriminator
    real = batch[0].requires_grad_()
    with discriminator.frozen():
        logits = discriminator(real)
    logits.sum().backward()
    assert real.grad.abs().sum() > 0 and all(weight.grad is None for weight in discriminator.parameters)
    assert all(weight.requires_grad for weight in discriminator.parameters)


def test_backward_measures_the_norm_of_the_gradient_and_replaces_the_last_one():
    player = make_players().discriminator
    count = sum(weight.numel() for weight in player.parameters)
    for scale in (2.0, 3.0):
        player.backward(scale * sum(weight.sum() for weight in player.parameters))
        assert player.gradient_norm.item() == pytest.approx(scale * math.sqrt(count), rel=1e-6)
        assert all((weight.grad == scale).all() for weight in player.parameters)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_update_is_made_where_the_gradient_is_not_finite_although_the_loss_is(batch, precision):
    player = make_players(precision).discriminator
    before = flat_weights(player)
    logits = player(batch[0])
    zeros = logits - logits
    loss = torch.where(zeros > 0, zeros.sqrt(), zeros).sum()  # 0, and its gradient is 0 times infinity
    player.update(loss)
    assert loss == 0 and player.guard.found_inf and int(player.failed_at) == 1
    assert torch.equal(before, flat_weights(player))


def test_an_infinite_gradient_norm_counts_as_not_finite_although_each_gradient_is_finite():
    player = make_players().discriminator
    before = flat_weights(player)
    player.update(1e30 * sum((weight - weight.detach()).sum() for weight in player.parameters))
    assert all(weight.grad.isfinite().all() for weight in player.parameters)
    assert player.gradient_norm == math.inf and player.guard.found_inf and int(player.failed_at) == 1
    assert torch.equal(before, flat_weights(player))


@pytest.mark.parametrize(
    "optimizer", [lambda p: adam(p, **ADAM), lambda p: sgd(p, lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)]
)
def test_from_the_first_loss_that_is_not_finite_no_player_is_updated(batch, optimizer):
    players = make_players()
    for player in players:
        player.optimizer = optimizer(player.parameters)
        player.optimizer.found_inf, player.optimizer.grad_scale = player.guard.found_inf, None
    real, noise_d, noise_g = batch
    players.begin_step(6, 0)
    step_once(players, batch)
    before = [flat_weights(player) for player in players]
    for number, images in [(7, real * math.nan), (8, real)]:
        players.begin_step(number, 0)
        step_once(players, (images, noise_d, noise_g))
    assert [int(player.failed_at) for player in players] == [0, 8]  # in D's update of the eighth step
    assert all(torch.equal(weights, flat_weights(player)) for weights, player in zip(before, players, strict=True))


def test_weights_are_clipped_after_each_update_of_the_discriminator_only(batch):
    players = make_players(weight_clip=0.01)
    generator, discriminator = players
    real, noise, _ = batch
    initial = [flat_weights(player) for player in players]
    assert all(weights.abs().max() > 0.02 for weights in initial)
    step_generator(players, LOSS, NO_TRICKS, Batch(real, noise), generator(noise))
    assert torch.equal(flat_weights(discriminator), initial[1])  # D was not updated
    for _ in range(2):
        step_discriminator(players, LOSS, NO_TRICKS, Batch(real, noise), generator.generate(noise))
        assert flat_weights(discriminator).abs().max().item() == pytest.approx(0.01)
    assert flat_weights(generator).abs().max() > 0.02


def test_each_update_of_the_discriminator_starts_from_clipped_weights(batch):
    """Two of D's updates in one step equal two steps of one."""
    once, twice = make_players(weight_clip=0.01), make_players(weight_clip=0.01)
    real, noise, _ = batch
    step(twice, LOSS, NO_TRICKS, "discriminator_first", False, [Batch(real, noise)] * 3)
    for _ in range(2):
        step_discriminator(once, LOSS, NO_TRICKS, Batch(real, noise), once.generator.generate(noise))
    assert torch.equal(flat_weights(once.discriminator), flat_weights(twice.discriminator))


def test_the_weight_clipping_trick_clips_the_discriminator_and_its_bfloat16_copy(make_run):
    run = make_run("loss=wasserstein", "trick=[weight_clipping]", "precision=bf16", *NARROW["mlp"])
    loop.training_step(run)
    generator, discriminator = run.players
    assert (generator.weight_clip, discriminator.weight_clip) == (None, 0.01)
    assert flat_weights(discriminator).abs().max().item() == pytest.approx(0.01)
    assert flat_weights(generator).abs().max() > 0.02
    for weight, working in zip(discriminator.parameters, discriminator.working_parameters, strict=True):
        assert torch.equal(weight.to(working.dtype), working)


def test_in_bf16_weights_logits_and_losses_are_in_float32(batch):
    players = make_players("bf16")
    assert players.discriminator(batch[0]).dtype == torch.float32
    metrics = step_once(players, batch)
    assert metrics["discriminator/loss"].dtype == torch.float32
    assert all(weight.dtype == torch.float32 for player in players for weight in player.parameters)


def test_in_bf16_a_player_computes_with_rounded_copies_of_its_weights(make_run):
    run = make_run("precision=bf16", "model=dcgan", "trick=[]")
    for _ in range(2):
        loop.training_step(run)
        run.step += 1
    run.load_state_dict(run.state_dict())
    for player in run.players:
        pairs = list(zip(player.network.modules(), player.working.modules(), strict=True))
        convolutions = [(a, b) for a, b in pairs if isinstance(a, (nn.Conv2d, nn.ConvTranspose2d))]
        norms = [(a, b) for a, b in pairs if isinstance(a, nn.BatchNorm2d)]
        assert convolutions and norms
        assert all(torch.equal(b.weight, a.weight.bfloat16()) for a, b in convolutions)
        assert all(a.weight.grad.dtype == torch.float32 for a, _ in convolutions)
        assert all(a.weight is b.weight and a.running_mean is b.running_mean for a, b in norms)
        assert all(int(a.num_batches_tracked) > 0 for a, _ in norms)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_gives_the_same_metrics(train, process, cache, tmp_path):
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
