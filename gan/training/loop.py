"""When to step, log, sample and save."""

import errno
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm.contrib.logging import logging_redirect_tqdm

from gan import sampling
from gan.config.errors import ConfigError
from gan.data.datasets import scale_images
from gan.metrics import protocol
from gan.step import Batch
from gan.step import step as play
from gan.system import distributed, files, randomness, signals, status
from gan.system.device import describe_device
from gan.system.rank import RANK, WORLD_SIZE
from gan.training import checkpoint, figures
from gan.training.logger import RunLogger, in_words
from gan.training.state import TrainingRun

log = logging.getLogger(__name__)


def run(run: TrainingRun, folder: Path) -> int:
    """Train in `folder` to the end, or to where a signal, a failure or a loss that is not finite stops it.

    Returns the number of the signal that stopped the run, or 0.
    """
    begun_anew = run.numbers.count == 0  # a row was due at this step, perhaps by another watch.log_every than now
    kept = (partial(belongs, run.step, due) for due in (lambda _: begun_anew, run.score_due))
    with signals.stop_requests() as stop, logging_redirect_tqdm():
        with RunLogger(folder, run.step, run.total, *kept) as book:
            book.describe(run.config, run.choices)
            scores = {name: value for name, value in (book.scores or [{}])[-1].items() if name != "step"}
            machine = describe_device(run.device)
            status.update(folder, state="running", error=None, machine=machine, scores=scores, **run.progress())
            if run.step == 0:
                save_samples(run, folder, book)
                checkpoint.save(folder, run.state())

            diverged = train(run, folder, book, stop)

            if not diverged:
                finish(run, folder, book)
        if RANK == 0:
            sampling.write_samples_gif(folder, run.settings.watch.gif_fps)
            figures.plot_figures(folder, undecided=0.5 if run.loss.undecided_at_zero else None)
        state = "diverged" if diverged else "stopped" if run.step < run.total else "finished"
        reason = stop.reason if state == "stopped" else diverged
        status.update(folder, state=state, error=reason, **run.progress())
    return stop.signal if state == "stopped" else 0


def train(run: TrainingRun, folder: Path, book: RunLogger, stop: signals.StopRequest) -> str | None:
    """Make the steps that are left. Returns a sentence on what was not finite, or None."""
    watch, began, first, before = run.settings.watch, time.perf_counter(), run.step, run.seconds
    saved = began
    while run.step < run.total:
        run.numbers.add(update(run))
        run.step += 1
        if run.ema:
            run.ema.follow(run.step)
        book.bar.update()

        logging_now, sampling_now = run.log_due(run.step), run.sample_due(run.step)
        epoch_ends = run.step % run.steps_per_epoch == 0
        together = WORLD_SIZE == 1 or logging_now or epoch_ends  # a moment that all processes have in common
        overdue = watch.checkpoint_minutes and time.perf_counter() - saved > 60 * watch.checkpoint_minutes
        saving_now = (overdue and together) or run.due(watch.checkpoint_every, run.step)
        scoring_now = run.score_due(run.step)
        ending = run.step == run.total or (WORLD_SIZE == 1 and stop.signal != 0)
        if not (logging_now or sampling_now or saving_now or scoring_now or epoch_ends or ending):
            continue

        if together:
            stop.signal = distributed.all_reduce_max(stop.signal, run.device)
            ending = ending or stop.signal != 0
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of this run was removed", str(folder))
        run.seconds = before + time.perf_counter() - began
        run.speed = (run.step - first) * run.images_per_step / (run.seconds - before)
        if problem := not_finite(run):
            return problem
        if epoch_ends:
            log.info("epoch %g of %d: %s", run.epoch, run.settings.train.epochs, in_words(run.numbers.read()))
        if logging_now:
            stop.reason = review(run, folder, book, record(run, folder, book))
            run.numbers.clear()
        if sampling_now:
            save_samples(run, folder, book)
        if scoring_now:  # before saving, so that a run that is killed here comes back to it
            paused = time.perf_counter()
            score(run, folder, book)
            began += time.perf_counter() - paused  # it is no training
        if saving_now:
            checkpoint.save(folder, run.state())
            saved = time.perf_counter()
        if ending or stop.reason:
            break
    return None


def update(run: TrainingRun) -> dict[str, Tensor]:
    """One step of the algorithm, on this step's images and noise. Nothing here waits for the device."""
    train, seed = run.settings.train, run.settings.seed
    if run.settings.compile:
        torch.compiler.cudagraph_mark_step_begin()  # what CUDA graphs gave in the last step may be overwritten
    randomness.reseed(run.device, seed, "layers", run.step, *([RANK] if WORLD_SIZE > 1 else []))
    run.players.begin(run.step, run.step // run.steps_per_epoch)
    run.tricks.begin(run.step)
    times = train.discriminator_steps
    pixel_range = run.players.generator.network.pixel_range
    noises = [
        run.noise.draw(train.batch_size, randomness.random_generator(run.device, seed, "noise", run.step, i))[
            run.batches.local_slice
        ]
        for i in range(times + 1)
    ]
    found = [run.batches[run.step * times + i] for i in range(times)]
    batches = [
        Batch(scale_images(images.images, pixel_range), noise, images.labels)
        for images, noise in zip(found, noises[:-1], strict=True)
    ]
    batches.append(batches[-1]._replace(noise=noises[-1]))  # G moves on the images that D has just seen
    numbers = play(run.players, run.loss, run.tricks, train.update, train.reuse_fakes, batches)
    return numbers | run.tricks.numbers(
        {"generator": run.players.generator.parameters, "discriminator": run.players.discriminator.parameters}
    )


def not_finite(run: TrainingRun) -> str | None:
    """Say whose loss, gradient or weights were not finite, and at which step. Waits for the device."""
    named = list(zip(("generator", "discriminator"), run.players, strict=True))
    for name, player in named:
        if step := int(player.failed_at):
            run.step = step
            return (
                f"the {name}'s loss or its gradient was not a finite number at step {step}; "
                "the weights were left as they were."
            )
    for name, player in named:
        if not player.is_finite():
            return f"the {name}'s weights were found not to be finite numbers at step {run.step}; they are not saved."
    return None


def record(run: TrainingRun, folder: Path, book: RunLogger) -> dict[str, float]:
    """Write down the numbers, and return them."""
    numbers = run.numbers.read()
    book.record(run.step, run.epoch, run.seconds, run.speed, numbers)
    last = {name: round(number, 6) if math.isfinite(number) else None for name, number in numbers.items()}
    status.update(folder, last=last, **run.progress())
    return numbers


def review(run: TrainingRun, folder: Path, book: RunLogger, numbers: dict[str, float]) -> str | None:
    """Write down what the numbers say went wrong. Returns a sentence if the run is to stop for that."""
    failures = run.tricks.review(run.step, numbers)
    for failure in failures:
        log.warning("step %d: %s", run.step, failure.sentence)
        book.warn(run.step, failure.sentence)
    if failures:
        new = [{"step": run.step, "what": failure.sentence} for failure in failures]
        status.update(folder, failures=status.read(folder)["failures"] + new)
    return next((failure.sentence for failure in failures if failure.stop), None)


def score(run: TrainingRun, folder: Path, book: RunLogger) -> None:
    """Write down how good the generator is now, and keep it if it has never been better."""
    watch, reference = run.settings.watch, run.reference
    seen = reference.look(
        protocol.generate_images(run.sampling_generator, run.noise, watch.scores_images, run.settings.seed, run.device)
    )
    found, taken = reference.score(seen, watch.scores_parzen), reference.record(watch.scores_images)
    best = (checkpoint.read(checkpoint.path_in(folder, "best")) or {}).get("scores", {})
    book.score(run.step, found, taken)
    status.update(folder, scores=found | taken)
    log.info(
        "step %d: FID %.2f, precision %.3f, recall %.3f", *(run.step, found["fid"], found["precision"], found["recall"])
    )
    if not taken.items() <= best.items() or found["fid"] < best["fid"]:  # what was scored otherwise says nothing
        checkpoint.save(folder, run.state() | {"scores": found | taken}, "best")


def save_samples(run: TrainingRun, folder: Path, book: RunLogger) -> None:
    """Draw the fixed noise with the generator as it is now."""
    grid = draw(run, run.fixed_noise, folder / "samples" / f"step_{run.step:07d}.png")
    book.image(run.step, grid)


def draw(run: TrainingRun, noise: Tensor, path: Path) -> Image.Image:
    """Write a grid, a image for each point of noise."""
    classes = run.sampling_generator.class_count
    labels = sampling.cycle_labels(classes, len(noise), run.device)
    randomness.reseed(run.device, run.settings.seed, "drawing")  # a generator may have noise or dropout of its own
    grid = sampling.image_grid(
        sampling.generate(run.sampling_generator, noise, labels, run.settings.train.batch_size), classes
    )
    with files.atomic_write(path, durable=False) as file:
        grid.save(file, format="png")
    return grid


def finish(run: TrainingRun, folder: Path, book: RunLogger) -> None:
    """Write down where the run is, if its periods did not just do so, and draw images that nobody has fixed_noise."""
    checkpoint.save(folder, run.state())  # first: who was told to stop may not have long
    if not run.log_due(run.step):
        record(run, folder, book)
    if not run.sample_due(run.step):
        save_samples(run, folder, book)
    if run.settings.watch.scores_every and run.step == run.total and not run.score_due(run.step):
        score(run, folder, book)
    if count := run.settings.watch.final_samples:
        stream = randomness.random_generator("cpu", run.settings.seed, "final")
        draw(run, run.noise.draw(count, stream).to(run.device), folder / "final.png")


def resume(run: TrainingRun, folder: Path) -> None:
    """Go to the last checkpoint, and remove the grids that came after it or only because the run ended there.

    Raises ConfigError if that is not possible; then nothing has changed.
    """
    files.remove_partial(folder)
    state = distributed.from_rank_zero(lambda: checkpoint.load(folder))
    with checkpoint.compatible_version(folder):
        run.restore(state)
    before = distributed.from_rank_zero(lambda: status.read(folder)["state"])
    if run.step >= run.total and before == "finished":  # and was not killed while it closed
        train = run.settings.train
        capped = train.max_steps and train.max_steps <= train.epochs * run.steps_per_epoch
        longer = f"train.max_steps={run.step * 2}" if capped else f"train.epochs={2 * math.ceil(run.epoch)}"
        raise ConfigError(
            f"{folder} is finished: it has made {run.step} steps and should make {run.total}; {longer} would go on."
        )
    known = status.read(folder)["failures"]
    status.update(folder, failures=[failure for failure in known if failure["step"] <= run.step])
    for path in (folder / "samples").glob("step_*.png"):
        if not belongs(run.step, run.sample_due, int(path.stem.removeprefix("step_"))):
            path.unlink()


def belongs(now: int, due: Callable[[int], bool], step: int) -> bool:
    """Whether what was written at `step` would also be there if the run had not ended at `now`, where it goes on."""
    return step < now or (step == now and due(step))
