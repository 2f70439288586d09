"""Detects failures of training early (ganhacks 10). It changes no number of the run."""

from typing import Any, Literal

from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import NonNegativeFloat, PositiveFloat, PositiveInt, Probability
from gan.system.rank import WORLD_SIZE
from gan.tricks.base import Failure, Trick, TrickContext

SENTENCES = {
    "discriminator/loss": "D's loss is almost 0 ({:.2g}), so G gets little gradient",
    "discriminator/auc": "D ranks almost every real image above almost every fake one ({:.2%} of the pairs)",
    "discriminator/gradient_norm": "the norm of D's gradient is large ({:.3g})",
    "generator/gradient_norm": "the norm of G's gradient is large ({:.3g})",
    "generator/diversity": "G's images are almost all alike (standard deviation {:.2%} of that of real images)",
}


class TrackFailures(Trick):
    """Reports a failure once it has lasted for some time. It is checked whenever metrics are logged.

    Args:
        loss_below: D's loss is almost 0.
        auc_above: fraction of the pairs of a real and a fake image in which the real one has the larger logit. D
            separates them then, whatever its loss and the scale of its logits.
        gradient_above: gradient norm of either player.
        diversity_below: mean standard deviation of a pixel over the fake images of a batch, divided by that over the
            real ones.
        patience_steps: how long it must last.
        action: `warn` goes on; `stop` ends the run.
    """

    def __init__(
        self,
        *,
        loss_below: NonNegativeFloat = 0.01,
        auc_above: Probability = 0.99,
        gradient_above: PositiveFloat = 100.0,
        diversity_below: NonNegativeFloat = 0.3,
        patience_steps: PositiveInt = 500,
        action: Literal["warn", "stop"] = "warn",
    ) -> None:
        self.upper_limits = {
            "discriminator/auc": auc_above,
            "discriminator/gradient_norm": gradient_above,
            "generator/gradient_norm": gradient_above,
        }
        self.lower_limits = {"discriminator/loss": loss_below, "generator/diversity": diversity_below}
        self.patience_steps, self.action = patience_steps, action
        self.started: dict[str, int] = {}  # the step at which each failure began
        self.reported: list[str] = []

    def check(self, context: TrickContext) -> None:
        if not context.watch.log_every:
            raise ConfigError(
                "watch.log_every=null: must be a period for trick=track_failures, which reads what is logged."
            )
        if context.train.batch_size == WORLD_SIZE:
            raise ConfigError(
                f"train.batch_size={WORLD_SIZE}: must be >= {2 * WORLD_SIZE} for trick=track_failures, which compares "
                "the images of a batch."
            )
        if context.loss.requires_lipschitz:  # such a loss is not bounded, and 0 means nothing
            del self.lower_limits["discriminator/loss"]

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        fake = fake.detach()
        return {
            "discriminator/auc": (real_logits.detach()[:, None] > fake_logits.detach()).float().mean(),
            "generator/diversity": fake.std(dim=0).mean() / real.std(dim=0).mean().clamp(min=1e-8),
        }

    def find_failures(self, step: int, metrics: dict[str, float]) -> list[Failure]:
        failing = [name for name, limit in self.upper_limits.items() if metrics[name] > limit]
        failing += [name for name, limit in self.lower_limits.items() if metrics[name] < limit]
        self.started = {name: self.started.get(name, step) for name in failing}
        failures = []
        for name in failing:
            steps = step - self.started[name]
            if steps >= self.patience_steps and name not in self.reported:
                self.reported.append(name)
                sentence = f"{SENTENCES[name].format(metrics[name])}, for {steps} steps."
                failures.append(Failure(sentence, self.action == "stop"))
        return failures

    def state_dict(self) -> dict[str, Any]:
        return {"started": self.started, "reported": self.reported}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.started, self.reported = state["started"], state["reported"]
