"""Tricks that must run code in a step. A trick that is only a number is one file in `conf/trick` and no code."""

import torch
from torch import Tensor

from gan.ranges import NonNegativeFloat, PositiveInt


class Trick:
    """The places in a step where a trick may act; here each does nothing."""

    def begin(self, step: int) -> None:
        """Called before update number `step`, which counts from 0."""

    def show(self, images: Tensor) -> Tensor:
        """What D sees in place of `images` (B, C, H, W), real or fake, in either player's step."""
        return images


class Tricks(Trick):
    """Several tricks as one: each acts on what the one before it left."""

    def __init__(self, tricks: list[Trick]) -> None:
        self.tricks = tricks

    def begin(self, step: int) -> None:
        for trick in self.tricks:
            trick.begin(step)

    def show(self, images: Tensor) -> Tensor:
        for trick in self.tricks:
            images = trick.show(images)
        return images


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
