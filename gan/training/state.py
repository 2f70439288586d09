"""A run: everything that training needs, and how far it has come."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gan.config.schema import Periods, Settings, in_steps
from gan.data.datasets import Batches
from gan.data.image_shape import ImageShape
from gan.losses import Loss
from gan.metrics.protocol import Reference
from gan.noise import Noise
from gan.player import Players
from gan.system import randomness
from gan.training import checkpoint
from gan.training.ema import EMA
from gan.training.logger import MetricAccumulator
from gan.tricks.base import Tricks


@dataclass
class TrainingRun:
    """Built from the configuration by `gan.training.build`, and moved on by `gan.training.loop`.

    Args:
        config: the whole configuration as YAML, kept in every checkpoint.
        choices: what was asked for, by group and setting, for TensorBoard's HParams tab.
        reference: what the generator is scored against, if it is.
        step: updates made so far.
        seconds: time spent on them.
    """

    settings: Settings
    config: str
    choices: dict[str, Any]
    device: torch.device
    batches: Batches
    shape: ImageShape
    players: Players
    ema: EMA | None
    loss: Loss
    tricks: Tricks
    noise: Noise
    numbers: MetricAccumulator
    reference: Reference | None
    step: int = 0
    seconds: float = 0.0
    speed: float = 0.0
    fixed_noise: Tensor = field(init=False)

    def __post_init__(self) -> None:
        watch = self.settings.watch
        stream = randomness.random_generator("cpu", self.settings.seed, "fixed_noise")
        self.fixed_noise = self.noise.draw(watch.samples, stream, watch.noise_scale).to(self.device)

    @property
    def steps_per_epoch(self) -> int:
        """Updates of G in which D sees every image once."""
        return max(self.batches.per_epoch // self.settings.train.discriminator_steps, 1)

    @property
    def images_per_step(self) -> int:
        """Real images that D sees in a step."""
        return self.settings.train.batch_size * self.settings.train.discriminator_steps

    @property
    def total(self) -> int:
        """Updates of the whole run."""
        train = self.settings.train
        return min(train.epochs * self.steps_per_epoch, train.max_steps or train.epochs * self.steps_per_epoch)

    @property
    def epoch(self) -> float:
        """Passes through the data so far."""
        return self.step / self.steps_per_epoch

    def due(self, periods: Periods, step: int) -> bool:
        """Whether something with these periods happens after `step` updates."""
        listed = periods if isinstance(periods, list) else [] if periods is None else [periods]
        return any(step % in_steps(period, self.steps_per_epoch) == 0 for period in listed)

    def sample_due(self, step: int) -> bool:
        """Whether a grid of the fixed noise is drawn after `step` updates; one is always drawn before the first."""
        watch = self.settings.watch
        moments = [in_steps(period, self.steps_per_epoch) for period in watch.samples_at]
        return step == 0 or self.due(watch.samples_every, step) or step in moments

    def log_due(self, step: int) -> bool:
        """Whether a row of numbers is written after `step` updates."""
        return self.due(self.settings.watch.log_every, step)

    def score_due(self, step: int) -> bool:
        """Whether the generator is scored after `step` updates."""
        return self.due(self.settings.watch.scores_every, step)

    def progress(self) -> dict[str, Any]:
        """What status.json says of a run on its way."""
        return {
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "seconds": round(self.seconds, 2),
            "images_per_second": round(self.speed, 1),
        }

    @property
    def sampling_generator(self) -> nn.Module:
        """The network that draws the images: the generator, or its average where one is kept."""
        return self.ema.network if self.ema else self.players.generator.network

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: enough to go on, and to draw without the data."""
        generator, discriminator = self.players
        return {
            "config": self.config,
            "image": [self.shape.channels, self.shape.size, self.shape.class_count],
            "step": self.step,
            "seconds": self.seconds,
            "generator": generator.network.state_dict(),
            "discriminator": discriminator.network.state_dict(),
            "ema": self.ema.network.state_dict() if self.ema else None,
            "optimizers": [player.optimizer.state_dict() for player in self.players],
            "tricks": self.tricks.state(),
            "numbers": self.numbers.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where the checkpoint was. Raises ConfigError if it was made with other settings."""
        checkpoint.check_same_settings(state["config"], self.config)
        self.step, self.seconds = state["step"], state["seconds"]
        weights = state["generator"], state["discriminator"]
        for player, learnt, optimizer in zip(self.players, weights, state["optimizers"], strict=True):
            player.restore(learnt, optimizer)
        if self.ema:
            self.ema.network.load_state_dict(state["ema"])
        self.tricks.restore(state["tricks"])
        self.numbers.restore(state["numbers"], self.device)
