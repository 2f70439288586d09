"""Gradient accumulation: an update over several batches equals one over a batch as large as all of them."""

import pytest
import torch
from torch import nn

from gan.config.errors import ConfigError
from gan.data.batches import Batches
from gan.step import Batch, step
from gan.training import loop
from gan.training.description import describe_run
from tests.conftest import NARROW, read_status, same_weights
from tests.test_step import LOSS, NO_TRICKS, UPDATES, flat_weights, make_players

PLAIN = ["model=mlp", "model.generator.norm=none", "model.discriminator.dropout=0", *NARROW["mlp"], "watch.samples=4"]


def split(batch, count):
    """A batch as `count` equal ones."""
    return [Batch(*parts) for parts in zip(batch.real.chunk(count), batch.noise.chunk(count), strict=True)]


def large_batches(*sizes):
    return [Batch(torch.rand(size, 1, 8, 8) * 2 - 1, torch.randn(size, 4)) for size in sizes]


@pytest.mark.parametrize("discriminator_steps", [1, 2])
@pytest.mark.parametrize("update", UPDATES)
def test_an_update_over_four_batches_equals_one_over_the_large_batch(update, discriminator_steps):
    if update == "simultaneous" and discriminator_steps > 1:
        return
    batches = large_batches(*[8] * (discriminator_steps + 1))
    expected, players = make_players(), make_players()
    for player in players:
        player.accumulate = 4
    before = [flat_weights(player) for player in players]
    large = step(expected, LOSS, NO_TRICKS, update, False, batches)
    small = step(players, LOSS, NO_TRICKS, update, False, [part for batch in batches for part in split(batch, 4)])
    for one, other, start in zip(players, expected, before, strict=True):
        assert torch.allclose(flat_weights(one), flat_weights(other), atol=1e-6)
        assert not torch.allclose(flat_weights(one), start, atol=1e-4)
        for weight, same in zip(one.parameters, other.parameters, strict=True):
            assert torch.allclose(weight.grad, same.grad, rtol=1e-4, atol=1e-7)
    assert small.keys() == large.keys()
    for name, value in large.items():  # also the norms of the gradients
        assert small[name].item() == pytest.approx(value.item(), rel=1e-4), name


def test_the_gradient_is_the_mean_over_the_batches_and_weights_move_after_the_last():
    player = make_players().discriminator
    player.accumulate = 3
    before = flat_weights(player)
    for number, scale in enumerate((1.0, 2.0, 6.0), 1):
        assert torch.equal(flat_weights(player), before)
        player.update(scale * sum(weight.sum() for weight in player.parameters))
        assert player.pending == number % 3
    assert not torch.equal(flat_weights(player), before)
    assert all((weight.grad == 3).all() for weight in player.parameters)  # (1 + 2 + 6) / 3
    player.backward(sum(weight.sum() for weight in player.parameters))
    assert all((weight.grad == 1).all() for weight in player.parameters)  # and the next update starts at 0


def test_in_bf16_the_sum_is_float32():
    player = make_players("bf16").discriminator
    player.accumulate = 2
    for scale in (256.0, 1.0):  # whose sum bfloat16 rounds to 256
        player.backward(scale * sum(weight.float().sum() for weight in player.working_parameters))
    assert all((weight.grad == 128.5).all() for weight in player.parameters)


def test_one_batch_that_is_not_finite_stops_the_update():
    player = make_players().discriminator
    player.accumulate = 2
    before = flat_weights(player)
    player.update(float("inf") * player.parameters[0].sum())
    player.update(player.parameters[0].sum())
    assert player.guard.found_inf and torch.equal(flat_weights(player), before)


@pytest.mark.parametrize("extra", [[], ["train.discriminator_steps=2"], ["train.update=generator_first"]])
def test_a_run_equals_that_with_the_large_batch(make_run, extra):
    runs = [
        make_run(*PLAIN, *extra, f"train.batch_size={size}", f"train.accumulate={count}", "train.epochs=2")
        for size, count in ((16, 1), (4, 4))
    ]
    assert runs[0].total_steps == runs[1].total_steps and runs[0].images_per_step == runs[1].images_per_step
    for _ in range(3):
        metrics = [loop.training_step(run) for run in runs]
        for run in runs:
            run.step += 1
    assert runs[0].epoch == runs[1].epoch
    for name, value in metrics[0].items():
        assert metrics[1][name].item() == pytest.approx(value.item(), rel=1e-3), name
    for one, other in zip(*(run.players for run in runs), strict=True):
        assert torch.allclose(flat_weights(one), flat_weights(other), atol=1e-5)


def test_every_image_of_an_update_is_another(make_run, monkeypatch):
    run, seen, read = make_run(*PLAIN, "train.batch_size=4", "train.accumulate=3"), [], Batches.read

    def record(batches, *located):
        seen.append(located[0])
        return read(batches, *located)

    monkeypatch.setattr(Batches, "read", record)
    loop.training_step(run)
    assert torch.cat(seen).unique().numel() == 12


def test_resumed_runs_equal_unbroken_ones(train_here, tmp_path):
    chosen = ["train.accumulate=2", "model.discriminator.dropout=0.3"]
    train_here(tmp_path / "unbroken", *chosen, "train.max_steps=4")
    train_here(tmp_path / "resumed", *chosen, "train.max_steps=2")
    train_here(tmp_path / "resumed", *chosen, "train.max_steps=4", resume=True)
    assert same_weights(tmp_path / "unbroken", tmp_path / "resumed")
    assert read_status(tmp_path / "resumed")["state"] == "finished"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["model=dcgan", *NARROW["dcgan"]], ["BatchNorm in G", "BatchNorm in D"]),
        ([*PLAIN, "trick=[minibatch_stddev,instance_noise]"], ["minibatch_stddev"]),
        (PLAIN, []),
    ],
)
def test_what_mixes_a_batch_is_named_in_one_line(make_run, tmp_path, settings, named):
    lines = [describe_run(make_run(*settings, f"train.accumulate={count}"), tmp_path) for count in (1, 2)]
    found = [[line for line in text if line.startswith("  accumulate")] for text in lines]
    assert found[0] == [] and len(found[1]) == bool(named)
    assert all(name in found[1][0] for name in named) and "instance_noise" not in str(found[1])
    assert all("8 images at a time, and not 16" in line for line in found[1])


@pytest.mark.parametrize("extra", [["train.reuse_fakes=true"], ["train.batch_size=32"], ["train.accumulate=0"]])
def test_what_does_not_go_with_it_is_one_sentence(make_run, extra):
    with pytest.raises(ConfigError, match=r"train\."):
        make_run(*PLAIN, "train.accumulate=3", *extra)


def test_layers_that_mix_a_batch_do_differ():
    """So that the equality above is no accident: BatchNorm sees another mean in each of the small batches."""
    (batch,) = large_batches(8)
    networks = [make_players(), make_players()]
    for players in networks:
        players.generator.network.layers.insert(1, nn.BatchNorm1d(16))
    networks[1].generator.accumulate = networks[1].discriminator.accumulate = 2
    step(networks[0], LOSS, NO_TRICKS, "discriminator_first", False, [batch, batch])
    step(networks[1], LOSS, NO_TRICKS, "discriminator_first", False, split(batch, 2) * 2)
    assert not torch.allclose(*(flat_weights(players.generator) for players in networks), atol=1e-6)
