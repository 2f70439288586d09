"""The exponential moving average of the generator."""

import pytest
import torch
from torch import nn

from gan.training import loop
from gan.training.ema import EMA
from tests.conftest import NARROW


def test_the_decay_starts_small_and_buffers_are_copied():
    network = nn.BatchNorm1d(1)
    ema = EMA(network, decay=0.5)
    expected = 1.0
    for step, weight in enumerate((2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0), 1):
        with torch.no_grad():
            network.weight.fill_(weight)
            network.running_mean.fill_(weight)
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))  # 2/11, 3/12, ... and 0.5 from step 8 on
        expected = decay * expected + (1 - decay) * weight
        assert ema.network.weight.item() == pytest.approx(expected, rel=1e-5)
        assert ema.network.running_mean.item() == weight


def test_every_run_has_an_ema_by_default(make_run):
    run = make_run("trick=[r1]", "model.generator.norm=none", *NARROW["mlp"])
    assert run.ema.decay == 0.999 and run.sampling_generator() is run.ema.network is not run.generator
    assert run.state_dict()["ema"].keys() == run.generator.state_dict().keys()


def test_without_ema_samples_are_drawn_with_the_generator_itself(make_run):
    run = make_run("train.ema_decay=null", *NARROW["mlp"])
    assert run.ema is None and run.sampling_generator() is run.generator and run.state_dict()["ema"] is None


def test_the_ema_does_not_change_training(make_run):
    runs = [make_run(f"train.ema_decay={decay}", *NARROW["mlp"]) for decay in ("0.9", "null")]
    for _ in range(3):
        metrics = [loop.training_step(run) for run in runs]
        for run in runs:
            run.step += 1
            if run.ema:
                run.ema.update(run.step)
    assert metrics[0] == metrics[1]
