"""Signs that a run goes wrong, seen early (ganhacks 10). Nothing here moves a number of the run itself."""

from typing import Any, Literal

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import NonNegativeFloat, PositiveFloat, PositiveInt, Probability
from gan.system.rank import WORLD_SIZE
from gan.tricks.base import Failure, Trick, TrickContext

MEANING = {
    "discriminator/loss": "D's loss is nearly 0 ({:.2g}), so that it teaches G little",
    "discriminator/auc": "D tells nearly every real image from every fake ({:.2%} of the pairs)",
    "discriminator/gradient_norm": "D's gradient is very long ({:.3g})",
    "generator/gradient_norm": "G's gradient is very long ({:.3g})",
    "generator/diversity": "G's images are nearly all alike ({:.2%} of the real ones' spread)",
}


class TrackFailures(Trick):
    """Says once, in words, what has been going wrong for some time; it looks when numbers are logged.

    Args:
        loss_below: D's loss is nearly 0.
        auc_above: share of pairs in which the real image has the greater logit. D(x) and D(G(z)) lie far
            apart then, whatever the loss and the scale of its logits.
        gradient_above: length of either player's gradient.
        diversity_below: how much the fakes that D moves on differ from each other, compared with how much real images
            do: the mean standard deviation of a pixel over the batch, as a ratio.
        patience_steps: for so many steps.
        action: `warn` goes on, `stop` ends the run there, as if it had been asked to.
    """

    def __init__(
        self,
        *,
        loss_below: NonNegativeFloat,
        auc_above: Probability,
        gradient_above: PositiveFloat,
        diversity_below: NonNegativeFloat,
        patience_steps: PositiveInt,
        action: Literal["warn", "stop"],
    ) -> None:
        self.limits = {
            "discriminator/loss": (None, loss_below),
            "discriminator/auc": (auc_above, None),
            "discriminator/gradient_norm": (gradient_above, None),
            "generator/gradient_norm": (gradient_above, None),
            "generator/diversity": (None, diversity_below),
        }
        self.patience_steps, self.action = patience_steps, action
        self.seen: dict[str, Tensor] = {}
        self.since: dict[str, int] = {}  # the step at which each began to be wrong
        self.said: list[str] = []

    def check(self, game: TrickContext) -> None:
        if not game.watch.log_every:
            raise ConfigError("trick=track_failures looks when numbers are logged: watch.log_every should not be null.")
        if game.train.batch_size == WORLD_SIZE:
            raise ConfigError(
                "trick=track_failures compares the images of a batch: train.batch_size should be "
                f"{2 * WORLD_SIZE} or more."
            )
        if game.loss.needs_bounded_slope:  # such a loss has no bound, and 0 is nothing special
            del self.limits["discriminator/loss"]

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> None:
        fake = fake.detach()
        self.seen = {
            "discriminator/auc": (real_logits.detach()[:, None] > fake_logits.detach()).float().mean(),
            "generator/diversity": fake.std(dim=0).mean() / real.std(dim=0).mean().clamp(min=1e-8),
        }

    def numbers(self, weights: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        return self.seen | {f"{player}/gradient_norm": length(own) for player, own in weights.items()}

    def review(self, step: int, numbers: dict[str, float]) -> list[Failure]:
        found = []
        for name, (above, below) in self.limits.items():
            wrong = numbers[name] > above if above is not None else numbers[name] < below
            if not wrong:
                self.since.pop(name, None)
                continue
            lasted = step - self.since.setdefault(name, step)
            if lasted >= self.patience_steps and name not in self.said:
                self.said.append(name)
                sentence = f"{MEANING[name].format(numbers[name])}, and has been for {lasted} steps."
                found.append(Failure(sentence, self.action == "stop"))
        return found

    def state(self) -> dict[str, Any]:
        return {"since": self.since, "said": self.said}

    def restore(self, state: dict[str, Any]) -> None:
        self.since, self.said = state["since"], state["said"]


def length(weights: list[Tensor]) -> Tensor:
    """The length of the gradient of all `weights` as one vector."""
    return torch.stack(torch._foreach_norm([each.grad for each in weights if each.grad is not None])).norm()
