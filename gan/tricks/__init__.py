"""Tricks that must run code in a step. A trick that is only a number is one file in `conf/trick` and no code."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

Judge = Callable[[Tensor], Tensor]  # pictures (B, C, H, W) to logits (B,), in float32


class Trick:
    """The places in a step where a trick may act; here each does nothing."""

    looks_at_slope: ClassVar[bool] = False  # whether it asks how D's logit changes with the picture
    bounds_slope: ClassVar[bool] = False  # whether it keeps that change within bounds
    clips_weights: ClassVar[bool] = False  # whether it does so by cutting weights off

    def prepare(self, discriminator: nn.Module) -> None:
        """Change D's layers in place, once, before training."""

    def begin(self, step: int) -> None:
        """Called before update number `step`, which counts from 0."""

    def show(self, images: Tensor) -> Tensor:
        """What D sees in place of `images` (B, C, H, W), real or fake, in either player's step."""
        return images

    def label(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B,) that D is told are of real pictures, and of fakes, in its own step."""
        return real, fake

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """What is added to D's loss, by name (0-d), for what D was shown (B, C, H, W)."""
        return {}

    def constrain(self, weights: list[Tensor]) -> None:
        """Change D's weights in place, after each of its moves."""


class Tricks(Trick):
    """Several tricks as one: each acts on what the one before it left."""

    def __init__(self, tricks: list[Trick]) -> None:
        self.tricks = tricks
        self.looks_at_slope = any(trick.looks_at_slope for trick in tricks)
        self.bounds_slope = any(trick.bounds_slope for trick in tricks)
        self.clips_weights = any(trick.clips_weights for trick in tricks)

    def prepare(self, discriminator: nn.Module) -> None:
        for trick in self.tricks:
            trick.prepare(discriminator)

    def begin(self, step: int) -> None:
        for trick in self.tricks:
            trick.begin(step)

    def show(self, images: Tensor) -> Tensor:
        for trick in self.tricks:
            images = trick.show(images)
        return images

    def label(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        for trick in self.tricks:
            real, fake = trick.label(real, fake)
        return real, fake

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {name: term for trick in self.tricks for name, term in trick.penalties(judge, real, fake).items()}

    def constrain(self, weights: list[Tensor]) -> None:
        for trick in self.tricks:
            trick.constrain(weights)
