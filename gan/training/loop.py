"""The training loop: when to update, log, sample, score and save."""

import errno
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from gan import __version__, sampling
from gan.data.datasets import scale_images
from gan.numerics import are_finite
from gan.step import step
from gan.system import console, distributed, locks, randomness, signals, status
from gan.system.device import describe_device
from gan.system.rank import RANK, WORLD_SIZE
from gan.training import checkpoint, figures, outputs
from gan.training.clock import Estimate, TrainingClock
from gan.training.description import describe_run
from gan.training.followers import Follower, find_followers
from gan.training.logger import RunLogger
from gan.training.state import TrainingRun
from gan.tricks.base import Batch

log = logging.getLogger(__name__)


Callback = Callable[[dict[str, float]], object]


def train(run: TrainingRun, folder: Path, callback: Callback | None = None) -> int:
    """Train in `folder` to the end, or until a signal, a failure or a non-finite value stops it.

    Returns the number of the signal that stopped it, or 0.

    Args:
        callback: called with the step and the metrics whenever they are logged; stops the run if it returns True.
    """
    outputs.clear_way(folder)
    for line in describe_run(run, folder):
        log.info(line, extra=console.IN_SINGLE_RUN)
    with signals.stop_requests() as stop, TrainingClock(run.seconds) as clock:
        with RunLogger(run, folder) as logger:
            about = {"version": __version__, "machine": describe_device(run.device), "data": run.data.record()}
            about |= {"process": locks.this_process(), "scores": logger.last_scores}
            about["real_data"] = outputs.real_data_beside(logger.last_scores, run, folder)
            status.update(folder, state="running", error=None, **about, **run.progress())
            outputs.save_real_images(run, folder, logger)
            if run.step == 0:
                outputs.save_samples(run, folder, logger)
                checkpoint.save(folder, run.state_dict())

            followers = find_followers(run)
            non_finite = train_steps(run, folder, logger, stop, clock, callback, followers)

            if not non_finite:
                checkpoint.save(folder, run.state_dict())  # first: after a signal there may be little time
                outputs.finish(run, folder, logger)
            if RANK == 0:
                sampling.write_samples_gif(folder, run.settings.watch.gif_fps)
                figures.plot_figures(folder, undecided=0.5 if run.loss.zero_is_undecided else None)
                outputs.save_findings(run, followers, folder, logger)

            state, error = "finished", None
            if non_finite:
                state, error = "diverged", non_finite
            elif run.step < run.total_steps:
                state, error = "stopped", stop.reason
            logger.log_end(state)
        status.update(folder, state=state, error=error, **run.progress())
    return stop.signal if state == "stopped" else 0


def train_steps(
    run: TrainingRun,
    folder: Path,
    logger: RunLogger,
    stop: signals.StopRequest,
    clock: TrainingClock,
    callback: Callback | None = None,
    followers: Sequence[Follower] = (),
) -> str | None:
    """Make the remaining steps. Returns a sentence if something was not finite: see `find_non_finite`."""
    watch = run.settings.watch
    start_step, seconds_before = run.step, run.seconds
    save_time = time.perf_counter()
    estimate = Estimate(run.total_steps, run.images_per_step)
    while run.step < run.total_steps:
        # Update
        clock.begin_step()
        run.metrics.add(training_step(run))
        run.step += 1
        for ema in run.emas:
            ema.update(run.step)
        for follower in followers:
            follower.keep(run)
        logger.progress_bar.update()
        if line := estimate.say(run.step, clock.seconds):
            log.info(line)

        # What is due? In all other steps, the host does not wait for the device.
        log_now, sample_now, score_now = (
            run.is_log_due(run.step),
            run.is_sample_due(run.step),
            run.is_score_due(run.step),
        )
        epoch_ends = run.is_due("1 epoch", run.step)
        # Clocks and signals differ between processes, so they are heeded in steps in which all processes do so.
        in_sync = WORLD_SIZE == 1 or log_now or epoch_ends
        is_overdue = watch.checkpoint_minutes and time.perf_counter() - save_time > 60 * watch.checkpoint_minutes
        save_now = (is_overdue and in_sync) or run.is_due(watch.checkpoint_every, run.step)
        stop_now = run.step == run.total_steps or (WORLD_SIZE == 1 and stop.signal != 0)
        if not (log_now or sample_now or score_now or save_now or epoch_ends or stop_now):
            continue

        # Check
        if in_sync and (signal := distributed.all_reduce_max(stop.signal, run.device)):
            stop.signal, stop_now = signal, True  # never set to 0, since one may have come meanwhile
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of this run was removed", str(folder))
        run.seconds = clock.seconds
        run.images_per_second = (run.step - start_step) * run.images_per_step / (run.seconds - seconds_before)
        if non_finite := find_non_finite(run):
            return non_finite

        # Log, sample, score, save
        if log_now:
            metrics = outputs.log_metrics(run, folder, logger)
            stop.reason = outputs.log_failures(run, folder, logger, metrics)
            run.metrics.clear()
            if callback and callback({"step": run.step, "epoch": run.epoch} | metrics) is True:
                stop.reason = stop.reason or "the callback stopped it."
        if sample_now:
            outputs.save_samples(run, folder, logger)
        if score_now:  # before saving, so that a run that is killed here scores again
            with clock.pause():
                outputs.log_scores(run, folder, logger)
        if save_now:
            checkpoint.save(folder, run.state_dict())
            save_time = time.perf_counter()
        if stop_now or stop.reason:
            break
    return None


def training_step(run: TrainingRun) -> dict[str, Tensor]:
    """One step of the algorithm, on the images and noise of this step. Never waits for the device.

    The metrics may be overwritten by the next step.
    """
    seed, count = run.settings.seed, run.batches_per_step
    own_rank = [RANK] if WORLD_SIZE > 1 else []  # each process draws dropout masks of its own
    randomness.reseed(run.device, seed, "layers", run.step, *own_rank)
    for i, generator in enumerate(run.noise_generators):
        generator.manual_seed(randomness.key(seed, "noise", run.step, i))
    run.players.begin_step(run.step, run.count_periods("1 epoch", run.step))
    run.tricks.begin_step(run.step)

    located = [tensor for i in range(count) for tensor in run.batches.locate(run.step * count + i)]
    update, keys = partial(update_players, run), (run.players.graph_key(), run.tricks.graph_key())
    if run.graphs is None or None in keys:
        return update(*located)
    return run.graphs(update, keys, located)


def update_players(run: TrainingRun, *located: Tensor) -> dict[str, Tensor]:
    """Draw noise, read images, and make a step. `located` is what `Batches.locate` found for each of D's batches."""
    train, local_slice = run.settings.train, run.batches.local_slice
    large = [run.noise.sample(train.accumulate * train.batch_size, generator) for generator in run.noise_generators]
    noise = [batch[local_slice] for update in large for batch in update.split(train.batch_size)]
    tensors_per_batch = len(located) // run.batches_per_step
    batches = []
    for i in range(run.batches_per_step):
        real = run.batches.read(*located[i * tensors_per_batch :][:tensors_per_batch])
        batches.append(Batch(scale_images(real.images, run.generator.pixel_range), noise[i], real.labels))
    last = slice(-train.accumulate, None)  # G's update has the last real images of D's, and other noise
    batches += [batch._replace(noise=other) for batch, other in zip(batches[last], noise[last], strict=True)]
    return step(run.players, run.loss, run.tricks, train.update, train.reuse_fakes, batches)


def find_non_finite(run: TrainingRun) -> str | None:
    """A sentence if a loss, a gradient or what a checkpoint holds was not finite; sets `run.step` to that step.

    Waits for the device.
    """
    players = {"generator": run.players.generator, "discriminator": run.players.discriminator}
    for name, player in players.items():
        if failed_at := int(player.failed_at):
            run.step = failed_at
            return f"the {name}'s loss or gradient was not finite at step {failed_at}; its update was skipped."
    parts = {f"{name}'s {part}": it for name, player in players.items() for part, it in player.saved_tensors().items()}
    for ema in run.emas:
        parts[f"generator's EMA of decay {ema.decay:g}"] = ema.weights
    for part, is_finite in zip(parts, are_finite(list(parts.values())), strict=True):
        if not is_finite:
            return f"the {part} became infinite or NaN by step {run.step}; the checkpoint before is kept."
    return None
