"""LeCam regularization."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from gan.config.types import DecayRate, PositiveFloat
from gan.player import Players
from gan.tricks.base import Batch, Pair, Trick


class LeCam(Trick):
    """D's logits are pulled toward moving averages, those of the other kind (Tseng et al. 2021, equation 5).

    Real logits toward the mean of the fake ones, and fake logits toward that of the real ones, so that D stays unsure
    where there are few images. The authors' code does this one-sided, only to real logits above the mean of the fake
    ones and to fake logits below that of the real ones, and after 1,000 steps; here as in the paper.

    Args:
        weight: lambda in the paper.
        decay: of the moving averages, per batch. They begin with the first batch.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, weight: PositiveFloat = 0.3, decay: DecayRate = 0.99) -> None:
        self.weight, self.decay = weight, decay
        self.anchors = torch.full((2,), torch.nan)  # moving averages of the real and of the fake logits

    def discriminator_terms(self, players: Players, batch: Batch, inputs: Pair, logits: Pair) -> dict[str, Tensor]:
        means = torch.stack([each.detach().mean() for each in logits])
        self.anchors = self.anchors.to(means.device)  # those of a checkpoint are on the CPU
        moved = self.decay * self.anchors + (1 - self.decay) * means
        self.anchors.copy_(torch.where(self.anchors.isnan(), means, moved))
        (real, fake), (real_anchor, fake_anchor) = logits, self.anchors.clone()
        distance = (real - fake_anchor).square().mean() + (fake - real_anchor).square().mean()
        return {"lecam": self.weight * distance}

    def state_dict(self) -> dict[str, Any]:
        return {"anchors": self.anchors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.anchors = state["anchors"]
