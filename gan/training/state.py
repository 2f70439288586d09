"""A run: everything that training needs, and its progress."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan import __version__, sampling
from gan.config.schema import Period, Periods, Settings
from gan.data.batches import Batches
from gan.data.image_shape import DataShape
from gan.data.summary import DataSummary
from gan.losses import Loss
from gan.metrics.protocol import Reference
from gan.models.base import Generator
from gan.noise import Noise
from gan.player import Players
from gan.system import randomness
from gan.training import checkpoint
from gan.training.cuda_graphs import CudaGraphs
from gan.training.ema import EMA
from gan.training.logger import MetricAccumulator
from gan.tricks.base import Tricks


@dataclass
class TrainingRun:
    """Built by `gan.training.build`, trained by `gan.training.loop`.

    Args:
        config: the whole configuration as YAML, stored in every checkpoint.
        data: what the dataset has.
        hparams: what was chosen, by group and setting, for TensorBoard's HParams tab.
        generator: G without optimizer and precision, as `players.generator.network`.
        reference: real images that generated ones are scored against; None if they are not scored.
        emas: of G, one for each decay; the first one generates the images of the run.
        graphs: repeat steps on a GPU; None where they are not used.
        step: updates of G so far.
        seconds: training time so far, as TrainingClock counts it.
    """

    settings: Settings
    config: str
    data: DataSummary
    hparams: dict[str, Any]
    device: torch.device
    batches: Batches
    image: DataShape
    players: Players
    generator: Generator
    emas: list[EMA]
    loss: Loss
    tricks: Tricks
    noise: Noise
    metrics: MetricAccumulator
    reference: Reference | None
    graphs: CudaGraphs | None
    step: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    fixed_noise: Tensor = field(init=False)
    noise_generators: list[torch.Generator] = field(init=False)

    def __post_init__(self) -> None:
        watch = self.settings.watch
        updates = self.settings.train.discriminator_steps + 1  # of both players in a step, each with noise of its own
        self.noise_generators = [torch.Generator(self.device) for _ in range(updates)]
        if self.graphs:
            self.graphs.generators += self.noise_generators
        random_generator = randomness.random_generator("cpu", self.settings.seed, "watched")
        count = sampling.grid_count(watch.samples, self.generator.class_count)
        self.fixed_noise = self.noise.sample(count, random_generator, watch.noise_scale).to(self.device)

    @property
    def ema(self) -> EMA | None:
        """The EMA of G that generates the images of the run, if there is one."""
        return self.emas[0] if self.emas else None

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that D sees in a step."""
        return self.settings.train.discriminator_steps * self.settings.train.accumulate

    @property
    def images_per_step(self) -> int:
        """Real images that D sees in a step."""
        return self.settings.train.batch_size * self.batches_per_step

    @property
    def total_steps(self) -> int:
        """Updates of G in the whole run, to the first of its limits."""
        return min(limit for limit in (self.steps_of_epochs, self.settings.train.max_steps) if limit)

    @property
    def steps_of_epochs(self) -> int | None:
        """Updates of G in `train.epochs`; None without this limit."""
        epochs = self.settings.train.epochs
        return epochs and math.ceil(epochs * self.batches.per_epoch / self.batches_per_step)

    @property
    def epoch(self) -> float:
        """Epochs so far; in one, D sees every real image once."""
        return self.step * self.batches_per_step / self.batches.per_epoch

    def count_periods(self, period: Period, step: int) -> int:
        """How often a period, 500 steps or `2 epochs`, has passed after `step` updates."""
        if isinstance(period, int):
            return step // period
        return step * self.batches_per_step // (int(period.split()[0]) * self.batches.per_epoch)

    def is_due(self, periods: Periods, step: int) -> bool:
        """Whether something with these periods happens after `step` updates."""
        listed = periods if isinstance(periods, list) else [] if periods is None else [periods]
        return any(self.count_periods(period, step) > self.count_periods(period, step - 1) for period in listed)

    def is_sample_due(self, step: int) -> bool:
        """Whether a grid of samples is written after `step` updates; one is always written before the first."""
        watch = self.settings.watch
        is_listed = any(
            self.count_periods(period, step - 1) < 1 <= self.count_periods(period, step) for period in watch.samples_at
        )
        return step == 0 or self.is_due(watch.samples_every, step) or is_listed

    def is_log_due(self, step: int) -> bool:
        """Whether metrics are logged after `step` updates."""
        return self.is_due(self.settings.watch.log_every, step)

    def is_score_due(self, step: int) -> bool:
        """Whether G is scored after `step` updates."""
        return self.is_due(self.settings.watch.scores_every, step)

    def progress(self) -> dict[str, Any]:
        """The entries of status.json about the progress."""
        return {
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "seconds": round(self.seconds, 2),
            "images_per_second": round(self.images_per_second, 1),
        }

    def sampling_generator(self) -> Generator:
        """The network that samples are drawn with: the EMA of G if there is one, else G.

        A copy of the EMA where it has BatchNorm: the EMA itself stays as it is, since its state is saved.
        """
        if self.ema is None:
            return self.generator
        batch_size, local_slice = self.settings.train.batch_size, self.batches.local_slice
        return sampling.recompute_batch_norm(self.ema.network, self.noise, batch_size, self.device, local_slice)

    @cached_property
    def real_data(self) -> dict[str, Any]:
        """The real-data baseline of this run's scores, with its protocol; empty without scores or without test images.

        Computed from the reference alone, so that no result of the run depends on it.
        """
        watch = self.settings.watch
        if self.reference is None:
            return {}
        cache_dir = Path(self.settings.cache_dir)
        baseline = self.reference.real_data_baseline(watch.scores_images, watch.scores_parzen, cache_dir)
        return baseline | self.reference.record(watch.scores_images) if baseline else {}

    def state_dict(self) -> dict[str, Any]:
        """The content of a checkpoint: enough to resume, and to sample without the data."""
        return {
            "format": checkpoint.FORMAT,
            "version": __version__,
            "config": self.config,
            "image": self.image.record(),
            "data": self.data.record(),
            "step": self.step,
            "seconds": self.seconds,
            "generator": self.players.generator.network.state_dict(),
            "discriminator": self.players.discriminator.network.state_dict(),
            "ema": self.ema.network.state_dict() if self.ema else None,
            "other_emas": [ema.network.state_dict() for ema in self.emas[1:]],
            "ema_warms_up": self.ema.warms_up if self.ema else None,
            "optimizers": [player.optimizer.state_dict() for player in self.players],
            "tricks": self.tricks.state_dict(),
            "metrics": self.metrics.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint."""
        self.step, self.seconds = state["step"], state["seconds"]
        networks = state["generator"], state["discriminator"]
        for player, network, optimizer in zip(self.players, networks, state["optimizers"], strict=True):
            player.load_state_dict(network, optimizer)
        others = state.get("other_emas", [])  # a checkpoint from before this entry and the next has neither
        for ema, network in zip(self.emas, [state["ema"], *others], strict=bool(self.emas)):
            ema.network.load_state_dict(network)
            ema.warms_up = state.get("ema_warms_up", True)
        self.tricks.load_state_dict(state["tricks"])
        self.metrics.load_state_dict(state["metrics"], self.device)
