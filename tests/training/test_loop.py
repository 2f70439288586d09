"""The training loop."""

import signal

import pytest
import torch

from gan.system import distributed
from gan.training import checkpoint, loop
from tests.conftest import read_status, same_weights
from tests.training.conftest import assert_complete


def test_runs_with_the_same_seed_are_equal_to_the_bit_and_with_another_seed_differ(train_here, tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        train_here(tmp_path / name, f"seed={seed}", "train.max_steps=6")
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_a_diverged_run_is_a_result_and_keeps_its_last_finite_weights(train_here, tmp_path):
    often = ["watch.checkpoint_every=1", "watch.log_every=5", "train.max_steps=50"]
    train_here(tmp_path, "optim=sgd", "optim.generator.lr=1e30", *often)
    outcome = read_status(tmp_path)
    assert outcome["state"] == "diverged" and 0 < outcome["step"] < 50
    assert f"at step {outcome['step']}" in outcome["error"] and "loss" in outcome["error"]
    assert_complete(tmp_path, hydra=False)
    saved = checkpoint.load(tmp_path)
    assert saved["step"] < outcome["step"]
    networks = [*saved["generator"].values(), *saved["discriminator"].values(), *saved["ema"].values()]
    assert all(tensor.isfinite().all() for tensor in networks)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_the_player_that_was_not_finite_first_is_named(make_run, name):
    run = make_run()
    player = getattr(run.players, name)
    assert loop.find_non_finite(run) is None
    run.step = 9
    player.failed_at.fill_(7)
    assert f"{name}'s" in loop.find_non_finite(run) and run.step == 7
    player.failed_at.zero_()
    player.optimizer.state[player.parameters[0]]["exp_avg_sq"] = torch.full((2,), float("inf"))
    assert f"{name}'s optimizer" in loop.find_non_finite(run)
    player.parameters[0].data[0] = float("inf")
    assert f"{name}'s weights" in loop.find_non_finite(run)


def test_a_signal_that_comes_while_the_processes_agree_on_one_is_not_lost(train_here, tmp_path, monkeypatch):
    agree, calls = distributed.all_reduce_max, []

    def agree_while_one_comes(number, device):
        calls.append(number)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGTERM)
        return agree(number, device)

    monkeypatch.setattr(distributed, "all_reduce_max", agree_while_one_comes)
    train_here(tmp_path, "train.max_steps=40", "watch.log_every=5")
    assert (read_status(tmp_path)["state"], read_status(tmp_path)["step"]) == ("stopped", 6)
