"""When to step, log, sample and save."""

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gan import checkpoint, figures, files, randomness, sampling, signals, status
from gan.average import Average
from gan.data import Batches, ImageShape, scaled
from gan.errors import Refused
from gan.log import Log, Numbers, in_words
from gan.losses import Loss
from gan.noise import Noise
from gan.player import Players
from gan.settings import Periods, Settings, in_steps
from gan.step import step as play
from gan.tricks import Tricks

log = logging.getLogger(__name__)


@dataclass
class Run:
    """Everything that training needs, and how far it has come.

    Args:
        config: the whole configuration as YAML, kept in every checkpoint.
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
    average: Average | None
    loss: Loss
    tricks: Tricks
    noise: Noise
    numbers: Numbers
    step: int = 0
    seconds: float = 0.0
    speed: float = 0.0
    watched: Tensor = field(init=False)

    def __post_init__(self) -> None:
        watch = self.settings.watch
        stream = randomness.generator("cpu", self.settings.seed, "watched")
        self.watched = self.noise.draw(watch.samples, stream, watch.noise_scale).to(self.device)

    @property
    def steps_per_epoch(self) -> int:
        """Updates of G in which D sees every picture once."""
        return max(self.batches.per_epoch // self.settings.train.discriminator_steps, 1)

    @property
    def total(self) -> int:
        """Updates of the whole run."""
        train = self.settings.train
        return min(train.epochs * self.steps_per_epoch, train.max_steps or train.epochs * self.steps_per_epoch)

    @property
    def epoch(self) -> float:
        return self.step / self.steps_per_epoch

    def due(self, periods: Periods, step: int) -> bool:
        """Whether something with these periods happens after `step` updates."""
        listed = periods if isinstance(periods, list) else [] if periods is None else [periods]
        return any(step % in_steps(period, self.steps_per_epoch) == 0 for period in listed)

    def sample_due(self, step: int) -> bool:
        watch = self.settings.watch
        moments = [in_steps(period, self.steps_per_epoch) for period in watch.samples_at]
        return self.due(watch.samples_every, step) or step in moments

    def log_due(self, step: int) -> bool:
        return self.due(self.settings.watch.log_every, step)

    def progress(self) -> dict[str, Any]:
        """What status.json says of a run on its way."""
        return {
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "seconds": round(self.seconds, 2),
            "images_per_second": round(self.speed, 1),
        }


def run(run: Run, folder: Path, resume: bool) -> int:
    """Train in `folder` to the end, or to where a signal or a loss that is not finite stops it.

    Returns the number of the signal that stopped the run, or 0.
    """
    if resume:
        restore(run, checkpoint.load(folder))
        if run.step >= run.total:
            raise Refused(
                f"{folder} is finished: it has made {run.step} of {run.total} steps; "
                f"train.epochs={run.settings.train.epochs * 2} would go on."
            )
        drop_later_samples(run, folder)
    keep_row = lambda step: step < run.step or (step == run.step and run.log_due(step))  # noqa: E731
    book = Log(folder, run.step, run.total, keep_row)
    book.describe(run.config, run.choices)
    status.update(folder, state="running", error=None, **run.progress())
    if not resume:
        draw_samples(run, folder, book)
        save(run, folder)

    with signals.stop_requests() as stop:
        diverged = train(run, folder, book, stop)

    if not diverged:
        if not run.log_due(run.step):
            record(run, folder, book)
        if not run.sample_due(run.step):
            draw_samples(run, folder, book)
        save(run, folder)
        draw_final(run, folder)
    book.close()
    summarise(run, folder)
    state = "diverged" if diverged else "stopped" if run.step < run.total else "finished"
    status.update(folder, state=state, error=diverged, **run.progress())
    return stop.signal if state == "stopped" else 0


def train(run: Run, folder: Path, book: Log, stop: signals.StopRequest) -> str | None:
    """Make the steps that are left. Returns a sentence on what was not finite, or None."""
    watch, began, first, before = run.settings.watch, time.perf_counter(), run.step, run.seconds
    while run.step < run.total and not stop.signal:
        run.numbers.add(update(run))
        run.step += 1
        if run.average:
            run.average.follow(run.step)

        logging_now, epoch_ends = run.log_due(run.step), run.step % run.steps_per_epoch == 0
        saving_now, sampling_now = run.due(watch.checkpoint_every, run.step), run.sample_due(run.step)
        book.bar.update()
        if not (logging_now or epoch_ends or saving_now or sampling_now or run.step == run.total or stop.signal):
            continue

        run.seconds = before + time.perf_counter() - began
        run.speed = (run.step - first) * pictures_per_step(run) / (run.seconds - before)
        if problem := not_finite(run):
            return problem
        if epoch_ends:
            log.info("epoch %g of %d: %s", run.epoch, run.settings.train.epochs, in_words(run.numbers.read()))
        if logging_now:
            record(run, folder, book)
            run.numbers.clear()
        if sampling_now:
            draw_samples(run, folder, book)
        if saving_now:
            save(run, folder)
    return None


def update(run: Run) -> dict[str, Tensor]:
    """One step of the algorithm, on this step's pictures and noise. Nothing here waits for the device."""
    train, seed = run.settings.train, run.settings.seed
    randomness.reseed(run.device, seed, "layers", run.step)
    run.players.begin(run.step, run.step // run.steps_per_epoch)
    run.tricks.begin(run.step)
    times = train.discriminator_steps
    pixel_range = run.players.generator.network.pixel_range
    reals = [scaled(run.batches[run.step * times + i], pixel_range) for i in range(times)]
    noises = [
        run.noise.draw(train.batch_size, randomness.generator(run.device, seed, "noise", run.step, i))
        for i in range(times + 1)
    ]
    return play(run.players, run.loss, run.tricks, train.update, train.reuse_fakes, reals, noises)


def pictures_per_step(run: Run) -> int:
    """Real pictures that a step shows to D."""
    return run.settings.train.batch_size * run.settings.train.discriminator_steps


def not_finite(run: Run) -> str | None:
    """Say which loss was first not finite and at which step; go back to there. Waits for the device."""
    for name, player in zip(("generator", "discriminator"), run.players, strict=True):
        if step := int(player.failed_at):
            run.step = step
            return f"the {name}'s loss was not a finite number at step {step}; the weights were left as they were."
    return None


def record(run: Run, folder: Path, book: Log) -> None:
    numbers = run.numbers.read()
    book.record(run.step, run.epoch, run.seconds, run.speed, numbers)
    last = {name: round(number, 6) if math.isfinite(number) else None for name, number in numbers.items()}
    status.update(folder, last=last, **run.progress())


def draw_samples(run: Run, folder: Path, book: Log) -> None:
    """Draw the watched noise with the generator as it is now."""
    grid = draw(run, run.watched, folder / "samples" / f"step_{run.step:07d}.png")
    book.picture(run.step, grid)


def draw_final(run: Run, folder: Path) -> None:
    """Draw pictures that nobody has watched, from the whole of the noise."""
    count = run.settings.watch.final_samples
    if count is not None:
        stream = randomness.generator("cpu", run.settings.seed, "final")
        draw(run, run.noise.draw(count, stream).to(run.device), folder / "final.png")


def draw(run: Run, noise: Tensor, path: Path) -> Image.Image:
    """A grid by the generator, or by its average where one is kept."""
    generator = run.average.network if run.average else run.players.generator.network
    grid = sampling.grid(sampling.generate(generator, noise, run.settings.train.batch_size))
    with files.whole(path, durable=False) as file:
        grid.save(file, format="png")
    return grid


def drop_later_samples(run: Run, folder: Path) -> None:
    """Remove grids that the run, which goes on at an earlier step, will draw anew or never."""
    for path in (folder / "samples").glob("step_*.png"):
        step = int(path.stem.removeprefix("step_"))
        if step > run.step or (step == run.step and step > 0 and not run.sample_due(step)):
            path.unlink()


def summarise(run: Run, folder: Path) -> None:
    """The film and the figures, from what lies in the folder."""
    frames = [Image.open(path) for path in sorted((folder / "samples").glob("step_*.png"))]
    with files.whole(folder / "history.gif", durable=False) as file:
        sampling.film(frames, file, run.settings.watch.film_fps)
    figures.draw(folder)


def save(run: Run, folder: Path) -> None:
    generator, discriminator = run.players
    checkpoint.save(
        folder,
        {
            "config": run.config,
            "image": [run.shape.channels, run.shape.size],
            "step": run.step,
            "seconds": run.seconds,
            "generator": generator.network.state_dict(),
            "discriminator": discriminator.network.state_dict(),
            "average": run.average.network.state_dict() if run.average else None,
            "optimizers": [player.optimizer.state_dict() for player in run.players],
            "numbers": run.numbers.state(),
        },
    )


def restore(run: Run, state: dict[str, Any]) -> None:
    """Put a run, freshly built from the same configuration, where the checkpoint was."""
    checkpoint.same_settings(state["config"], run.config)
    run.step, run.seconds = state["step"], state["seconds"]
    for name, player in zip(("generator", "discriminator"), run.players, strict=True):
        player.network.load_state_dict(state[name])
    for player, optimizer in zip(run.players, state["optimizers"], strict=True):
        player.optimizer.load_state_dict(optimizer)
    if run.average:
        run.average.network.load_state_dict(state["average"])
    run.numbers.restore(state["numbers"], run.device)
