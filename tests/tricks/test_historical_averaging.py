"""Historical averaging."""

import pytest
import torch
from torch import nn

from gan.training import loop
from gan.tricks.historical_averaging import HistoricalAveraging
from tests.conftest import NARROW
from tests.test_step import make_players


def set_all(player, value):
    with torch.no_grad():
        for weight in player.parameters:
            weight.fill_(value)


def test_the_term_is_the_squared_distance_from_the_mean_of_all_weights_so_far():
    players, trick = make_players(), HistoricalAveraging(weight=0.5)
    trick.modify_networks(*(player.network for player in players), None)
    counts = [sum(weight.numel() for weight in player.parameters) for player in players]
    for step, (value, mean) in enumerate([(1.0, 1.0), (3.0, 2.0), (8.0, 4.0)]):  # 4 = (1 + 3 + 8) / 3
        for player in players:
            set_all(player, value)
        trick.begin_step(step)
        of_generator = trick.generator_terms(players, None, None)["historical_averaging"]
        of_discriminator = trick.discriminator_terms(players, None, None, None)["historical_averaging"]
        assert of_generator.item() == pytest.approx(0.5 * counts[0] * (value - mean) ** 2)
        assert of_discriminator.item() == pytest.approx(0.5 * counts[1] * (value - mean) ** 2)
    of_generator.backward()
    assert all((weight.grad == 4).all() for weight in players.generator.parameters)  # 0.5 * 2 * (8 - 4)


def test_both_players_pay_from_the_second_step_on(make_run):
    run = make_run("trick=[historical_averaging]", *NARROW["mlp"])
    names = ("generator/historical_averaging", "discriminator/historical_averaging")
    first, _ = loop.training_step(run), setattr(run, "step", 1)
    second = loop.training_step(run)
    assert all(first[name] == 0 < second[name] for name in names)


def test_a_large_weight_holds_the_weights_back(make_run):
    moved = []
    for weight in (1e-6, 1e6):
        run = make_run("trick=[historical_averaging]", f"trick.historical_averaging.weight={weight}", "optim=sgd",
                       "optim.generator.lr=1e-7", "optim.generator.momentum=0", *NARROW["mlp"])  # fmt: skip
        start = nn.utils.parameters_to_vector(run.players.generator.parameters).clone()
        for step in range(10):
            run.step = step
            loop.training_step(run)
        moved.append((nn.utils.parameters_to_vector(run.players.generator.parameters) - start).norm())
    assert moved[1] < moved[0] * 0.9
