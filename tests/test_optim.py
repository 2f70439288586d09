"""Optimizers and the schedules of their options."""

import math

import pytest
import torch

from gan.config.errors import ConfigError
from gan.optim import Decay, Ramp, adam, sgd
from gan.system import files


def test_momentum_rises_and_the_learning_rate_decays_as_in_goodfellow_2014(make_run):
    run = make_run("optim=goodfellow2014")
    for step, epoch, momentum in [
        (0, 0, 0.5),
        (500, 1, 0.5 + 0.2 / 249),
        (62_500, 125, 0.5 + 0.2 * 125 / 249),
        (124_500, 249, 0.7),
        (10**6, 900, 0.7),
    ]:
        run.players.begin_step(step, epoch)
        for player in run.players:
            (group,) = player.optimizer.param_groups
            assert group["momentum"] == pytest.approx(momentum)
            assert group["lr"] == pytest.approx(max(0.1 * math.exp(-step * math.log(1.000004)), 1e-6), rel=1e-6)
    run.players.begin_step(10**7, 900)
    assert run.players.generator.optimizer.param_groups[0]["lr"] == 1e-6


@pytest.mark.parametrize("log_mean", ["true", "false"])
def test_the_logged_learning_rates_follow_the_schedule(train_here, tmp_path, log_mean):
    """A row has the learning rate of the last update before it, and the discriminator has its own."""
    few = ["train.max_steps=5", "watch.log_every=2", f"watch.log_mean={log_mean}"]
    train_here(tmp_path, "optim=goodfellow2014", "optim.discriminator.lr=0.01", *few)
    rows = files.read_rows(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 5]
    for row in rows:
        decay = 1.000004 ** -(row["step"] - 1)
        assert row["generator/lr"] == pytest.approx(0.1 * decay, rel=1e-12)
        assert row["discriminator/lr"] == pytest.approx(0.01 * decay, rel=1e-12)


def test_a_decaying_value_stays_at_its_minimum():
    decay = Decay(factor=1.01, minimum=1e-6)
    assert decay(0.1, 0, 0) == 0.1 and decay(0.1, 1, 0) == pytest.approx(0.1 / 1.01)
    assert decay(0.1, 2_000, 0) == decay(0.1, 1_000_000, 0) == 1e-6


def test_a_ramp_is_linear_and_constant_before_and_after():
    ramp = Ramp(to=1.0, from_epoch=2, to_epoch=6)
    values = [ramp(0.2, step=999, epoch=epoch) for epoch in range(8)]  # epoch 0 is the first
    assert values == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0])
    with pytest.raises(ConfigError, match="from_epoch"):
        Ramp(to=1.0, from_epoch=6, to_epoch=6)


def test_nesterov_needs_a_momentum():
    weight = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(ConfigError, match="momentum"):
        sgd([weight], lr=0.1, momentum=0.0, nesterov=True, weight_decay=0.0)


def test_the_first_beta_may_be_the_integer_zero():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = adam([weight], lr=1, betas=(0, 0.99), eps=1e-8, weight_decay=0)
    assert optimizer.defaults["betas"] == (0.0, 0.99)
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == pytest.approx(-1)
