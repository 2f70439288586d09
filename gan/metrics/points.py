"""Formulas of metrics of points: modes, as VEEGAN and PacGAN count them, and the distance of two sets."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gan.data.datasets import Modes

CLOSE = 3  # standard deviations from a mode to a point of high quality


class ModeCounts(NamedTuple):
    """How many points have each mode as their nearest: all of them, and those within CLOSE of it; int64 (K,)."""

    all_points: Tensor
    close_points: Tensor


def count_modes(points: Tensor, modes: Modes) -> ModeCounts:
    """Count `points` (n, d) at each mode (Srivastava et al. 2017, section 5.1; Lin et al. 2018, section 4.1)."""
    distance, nearest = torch.cdist(points.double(), modes.centers.double()).min(dim=1)
    count = len(modes.centers)
    is_close = distance < CLOSE * modes.std
    return ModeCounts(nearest.bincount(minlength=count), nearest[is_close].bincount(minlength=count))


def divergence_from_uniform(counts: Tensor) -> float:
    """Kullback-Leibler divergence in nats of the distribution of `counts` (K,) from the uniform one."""
    fractions = counts.double() / counts.sum()
    return torch.special.xlogy(fractions, fractions * len(counts)).sum().item()


def wasserstein_distance(one: Tensor, other: Tensor) -> float:
    """2-Wasserstein distance of equally many points (n, d): the root mean square way of the best assignment."""
    from scipy.optimize import linear_sum_assignment  # takes long to import, and images need none

    squared = torch.cdist(one.double(), other.double(), compute_mode="donot_use_mm_for_euclid_dist").square().numpy()
    rows, columns = linear_sum_assignment(squared)
    return math.sqrt(squared[rows, columns].mean())
