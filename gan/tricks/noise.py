"""Noise that keeps D from being sure."""

import torch
from torch import Tensor

from gan.ranges import NonNegativeFloat, PositiveInt, Probability
from gan.tricks import Trick


class InstanceNoise(Trick):
    """Gaussian noise on all that D sees, so that real and fake overlap (Sønderby et al. 2017, section 3).

    Args:
        std: standard deviation at the first step, where pictures span 1 or 2 from black to white.
        fade_steps: after so many steps, down which it falls in a line, the noise is exactly zero.
    """

    def __init__(self, *, std: NonNegativeFloat, fade_steps: PositiveInt) -> None:
        self.first_std, self.fade_steps = std, fade_steps
        self.std = std

    def begin(self, step: int) -> None:
        self.std = self.first_std * max(0.0, 1 - step / self.fade_steps)

    def show(self, images: Tensor) -> Tensor:
        return images + self.std * torch.randn_like(images) if self.std > 0 else images


class NoisyLabels(Trick):
    """Now and then tells D that a real picture and the fake beside it are the other way round (ganhacks 6).

    Args:
        probability: of that, for each pair. At 1/2 D could learn nothing.
    """

    def __init__(self, *, probability: Probability) -> None:
        self.probability = probability

    def label(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        swapped = torch.rand_like(real) < self.probability
        return torch.where(swapped, fake, real), torch.where(swapped, real, fake)
