"""Optimizers, fused, and schedules for their options."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from gan.config.errors import ConfigError
from gan.config.types import AtLeastOne, DecayRate, NonNegativeFloat, PositiveFloat, PositiveInt, Probability

Schedule = Callable[[float, int, int], float]  # (initial value, steps so far, epochs so far) to the value


def adam(
    parameters: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat,
    betas: tuple[DecayRate, DecayRate],
    eps: PositiveFloat,
    weight_decay: NonNegativeFloat,
) -> torch.optim.Adam:
    """Adam (Kingma and Ba 2015). DCGAN made betas[0] = 0.5 usual for GANs (Radford et al. 2016)."""
    first, second = map(float, betas)  # torch takes no integer beside a float: betas=[0,0.99]
    return torch.optim.Adam(parameters, lr=lr, betas=(first, second), eps=eps, weight_decay=weight_decay, fused=True)


def sgd(
    parameters: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat,
    momentum: Probability,
    nesterov: bool,
    weight_decay: NonNegativeFloat,
) -> torch.optim.SGD:
    """Stochastic gradient descent with momentum."""
    if nesterov and not momentum:
        raise ConfigError(f"nesterov=true with momentum={momentum:g}: momentum must be > 0.")
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
    )


@dataclass(frozen=True, kw_only=True)
class Decay:
    """Divide a value by `factor` after each step, down to `minimum`."""

    factor: AtLeastOne
    minimum: NonNegativeFloat

    def __call__(self, initial: float, step: int, epoch: int) -> float:
        try:
            return max(initial / self.factor**step, self.minimum)
        except OverflowError:  # the divisor is too large for a float
            return self.minimum


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """Change a value linearly to `to`, from epoch `from_epoch` to epoch `to_epoch`.

    Epochs are counted as in pylearn2, which Goodfellow et al. 2014 used: the first one runs with the initial value.
    """

    to: float
    from_epoch: PositiveInt
    to_epoch: PositiveInt

    def __post_init__(self) -> None:
        if self.from_epoch >= self.to_epoch:
            raise ConfigError(f"from_epoch={self.from_epoch}: must be < to_epoch={self.to_epoch}.")

    def __call__(self, initial: float, step: int, epoch: int) -> float:
        fraction = (epoch + 1 - self.from_epoch) / (self.to_epoch - self.from_epoch)
        return initial + (self.to - initial) * min(max(fraction, 0.0), 1.0)
