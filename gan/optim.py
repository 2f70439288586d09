"""Optimisers with the settings that GANs turn. Both run fused: one call for all weights."""

from collections.abc import Iterable

import torch
from torch import nn

from gan.ranges import NonNegativeFloat, PositiveFloat, Probability


def adam(
    parameters: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat,
    betas: tuple[Probability, Probability],
    eps: PositiveFloat,
    weight_decay: NonNegativeFloat,
) -> torch.optim.Adam:
    """Adam (Kingma and Ba 2015). GANs are trained with betas[0] = 0.5 since DCGAN (Radford et al. 2016)."""
    return torch.optim.Adam(parameters, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, fused=True)


def sgd(
    parameters: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat,
    momentum: Probability,
    nesterov: bool,
    weight_decay: NonNegativeFloat,
) -> torch.optim.SGD:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )
