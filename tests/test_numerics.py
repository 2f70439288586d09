"""The guard against values that are not finite, and bfloat16 copies of networks."""

import math

import pytest
import torch
from torch import nn

from gan.numerics import NonFiniteGuard, are_finite, bf16_copy


@pytest.mark.parametrize(
    ("value", "is_finite"), [(0.0, True), (-3e38, True), (math.inf, False), (-math.inf, False), (math.nan, False)]
)
def test_the_guard_notes_the_first_value_that_is_not_finite(value, is_finite):
    guard, failed_at = NonFiniteGuard(torch.device("cpu")), torch.zeros((), dtype=torch.int64)
    for number, checked in ((4, 1.0), (5, value), (6, math.nan)):
        guard.step.fill_(number)
        guard.check(torch.tensor(checked), failed_at)
    assert failed_at == (6 if is_finite else 5) and guard.found_inf == 1


def test_the_guard_lets_finite_values_pass():
    guard, failed_at = NonFiniteGuard(torch.device("cpu")), torch.zeros((), dtype=torch.int64)
    guard.check(torch.tensor(3e38), failed_at)
    assert failed_at == 0 and guard.found_inf == 0


def test_a_bf16_copy_has_its_own_matrices_and_shares_all_other_tensors():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 1))
    network[3].weight.requires_grad_(False)
    copied = bf16_copy(network)
    for index in (0, 3):
        assert copied[index].weight.dtype == copied[index].bias.dtype == torch.bfloat16
        assert torch.equal(copied[index].weight, network[index].weight.bfloat16())
        assert copied[index].weight.requires_grad == network[index].weight.requires_grad
        assert network[index].weight.dtype == torch.float32
    assert copied[1].weight is network[1].weight and copied[1].running_mean is network[1].running_mean


def test_each_group_of_tensors_is_finite_or_not_by_itself():
    finite, infinite = torch.zeros(2, 2), torch.tensor([0.0, math.inf])
    groups = [[finite], [], [infinite, finite], [finite, torch.tensor(math.nan)], [finite, -finite]]
    assert are_finite(groups) == [True, True, False, False, True]
