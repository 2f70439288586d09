"""A replay buffer of fake images."""

from collections.abc import Hashable
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import Fraction, PositiveInt
from gan.tricks.base import Trick, TrickContext


class Replay(Trick):
    """Mixes old fake images into D's batches (ganhacks 8; Shrivastava et al. 2017, section 2.3).

    Args:
        images: size of the buffer. In each step some new images replace as many, chosen at random.
        fraction: of the fake images in D's batch that are old, once the buffer is full.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, images: PositiveInt = 512, fraction: Fraction = 0.5) -> None:
        self.images, self.fraction = images, fraction
        self.buffer: Tensor | None = None
        self.filled = 0

    def check(self, context: TrickContext) -> None:
        train, count = context.train, self.old_count(context.train.batch_size)
        if train.update == "simultaneous":
            raise ConfigError(
                "trick=replay does not go with train.update=simultaneous, where both players use the same fake images: "
                "choose discriminator_first or generator_first."
            )
        if context.tricks.any("uses_labels"):
            raise ConfigError(
                "trick=replay does not go with trick=conditional or clusters: its buffer holds no labels."
            )
        if context.tricks.any("uses_noise"):
            raise ConfigError("trick=replay does not go with trick=infogan: its buffer holds no codes.")
        if not 0 < count <= self.images:
            raise ConfigError(
                f"trick.replay.fraction={self.fraction} of train.batch_size={train.batch_size} is {count} images: must "
                f"be from 1 to trick.replay.images={self.images}."
            )

    def old_count(self, batch_size: int) -> int:
        """How many images of a batch are old."""
        return round(self.fraction * batch_size)

    def graph_key(self) -> Hashable | None:
        return () if self.filled == self.images else None

    def replay(self, fake: Tensor) -> Tensor:
        if self.buffer is None:
            self.buffer = fake.new_empty(self.images, *fake.shape[1:])
        self.buffer = self.buffer.to(fake.device)  # that of a checkpoint is on the CPU
        if self.filled < self.images:
            new = fake[: self.images - self.filled]
            self.buffer[self.filled : self.filled + len(new)] = new
            self.filled += len(new)
            return fake
        count = self.old_count(len(fake))
        indices = torch.randperm(self.images, device=fake.device)[:count]
        old = self.buffer[indices]
        self.buffer[indices] = fake[-count:]
        return torch.cat([fake[:-count], old])

    def state_dict(self) -> dict[str, Any]:
        return {"buffer": self.buffer, "filled": self.filled}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.buffer, self.filled = state["buffer"], state["filled"]
