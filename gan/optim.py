"""Optimisers with the settings that GANs turn, and schedules that torch does not have.

Both optimisers run fused: one call for all weights.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from gan.config.errors import ConfigError
from gan.config.types import AtLeastOne, DecayRate, NonNegativeFloat, PositiveFloat, PositiveInt, Probability

Schedule = Callable[[float, int, int], float]  # what a number is, from its first value, and the steps and epochs before


def adam(
    parameters: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat,
    betas: tuple[DecayRate, DecayRate],
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
    """Stochastic gradient descent with momentum. Raises ConfigError for Nesterov's kind without any."""
    if nesterov and not momentum:
        raise ConfigError("nesterov=true is not possible with momentum=0: it should be above 0.")
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )


@dataclass(frozen=True, kw_only=True)
class Decay:
    """A number that is divided by `factor` after every step, down to `floor`."""

    factor: AtLeastOne
    floor: NonNegativeFloat

    def __call__(self, first: float, step: int, epoch: int) -> float:
        try:
            return max(first / self.factor**step, self.floor)
        except OverflowError:  # what it is divided by is beyond all numbers
            return self.floor


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """A number that goes in a line to `to` between two passes through the data, the first of which is 1.

    As in pylearn2, which the authors of Goodfellow et al. 2014 used: the first pass is made with the first value.
    """

    to: float
    from_epoch: PositiveInt
    to_epoch: PositiveInt

    def __post_init__(self) -> None:
        if self.from_epoch >= self.to_epoch:
            raise ConfigError(
                f"a ramp from_epoch={self.from_epoch} to_epoch={self.to_epoch} is not possible: it should end later "
                "than it begins."
            )

    def __call__(self, first: float, step: int, epoch: int) -> float:
        share = (epoch + 1 - self.from_epoch) / (self.to_epoch - self.from_epoch)
        return first + (self.to - first) * min(max(share, 0.0), 1.0)
