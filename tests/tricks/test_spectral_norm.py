"""Spectral normalization."""

import copy

import pytest
import torch
from torch import nn

from gan.training import loop
from tests.conftest import NARROW


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_weight_matrix_has_a_largest_singular_value_of_one(make_run, precision):
    overrides = ["trick=[spectral_norm]", "trick.spectral_norm.power_iterations=50"]
    run = make_run(f"precision={precision}", *overrides, *NARROW["mlp"])
    for _ in range(3):
        loop.training_step(run)
        run.step += 1
    modules = run.players.discriminator.network.modules()
    matrices = [module.weight for module in modules if isinstance(module, nn.Linear)]
    assert len(matrices) == 3
    for matrix in matrices:
        assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=0.01)


def test_the_power_iteration_continues_after_resuming(make_run):
    overrides = ["trick=[spectral_norm]", "model=dcgan", *NARROW["dcgan"]]
    run, resumed = make_run(*overrides), make_run(*overrides)
    for number in range(4):
        if number == 2:
            resumed.load_state_dict(copy.deepcopy(run.state_dict()))
        for trained in (run, resumed) if number >= 2 else (run,):
            loop.training_step(trained)
            trained.step += 1
    states = run.players.discriminator.network.state_dict(), resumed.players.discriminator.network.state_dict()
    assert any(name.endswith("_u") for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
