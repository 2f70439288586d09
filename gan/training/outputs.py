"""What a run writes while it trains: metrics, failures, samples and scores."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gan import sampling
from gan.data.contact_sheet import draw_contact_sheet
from gan.data.image_shape import PixelRange
from gan.metrics import catalogue, protocol
from gan.metrics.catalogue import PROTOCOL, headline
from gan.system import console, files, randomness, status
from gan.training import checkpoint, point_samples
from gan.training.description import describe_progress
from gan.training.followers import Follower
from gan.training.logger import RunLogger
from gan.training.state import TrainingRun

log = logging.getLogger(__name__)
FOLDERS = ("samples", "figures", "checkpoints")  # of a run
FILES = (  # of a run that are written while it trains, by pattern
    *("status.json", "metrics.jsonl", "scores.jsonl", "events.out.tfevents.*", "samples.gif", "final.png"),
    *("samples/real.png", "samples/step_*.png", "samples/normalized_*.png"),
    *("figures/losses.png", "figures/predictions.png", "figures/scores.png", "figures/real_classes.png"),
    "figures/dirac.png",
)


def clear_way(folder: Path) -> None:
    """Rename what stands where the run will write a file or folder, such as a folder named metrics.jsonl."""
    for patterns, is_right in ((FOLDERS, Path.is_dir), (FILES, Path.is_file)):
        for path in sorted(path for pattern in patterns for path in folder.glob(pattern) if not is_right(path)):
            files.move_aside(path)


def log_metrics(run: TrainingRun, folder: Path, logger: RunLogger) -> dict[str, float]:
    """Write the metrics since the last time, and return them."""
    learning_rates = {
        f"{name}/lr": float(player.optimizer.param_groups[0]["lr"])
        for name, player in (("generator", run.players.generator), ("discriminator", run.players.discriminator))
    }
    metrics = run.metrics.read() | learning_rates
    logger.log_metrics(run.step, run.epoch, run.seconds, run.images_per_second, metrics)
    last = {name: round(value, 6) if math.isfinite(value) else None for name, value in metrics.items()}
    status.update(folder, last=last, **run.progress())
    log.info(describe_progress(run, metrics), extra=console.WITHOUT_BAR)
    return metrics


def log_failures(run: TrainingRun, folder: Path, logger: RunLogger, metrics: dict[str, float]) -> str | None:
    """Write the failures that the tricks find in the metrics. Returns a sentence if the run is to stop for one."""
    failures = run.tricks.find_failures(run.step, metrics)
    for failure in failures:
        log.warning("step %d: %s", run.step, failure.sentence)
        logger.log_failure(run.step, failure.sentence)
    if failures:
        new = [{"step": run.step, "what": failure.sentence} for failure in failures]
        status.update(folder, failures=status.read(folder)["failures"] + new)
    return next((failure.sentence for failure in failures if failure.stop), None)


def log_scores(run: TrainingRun, folder: Path, logger: RunLogger) -> None:
    """Write the scores of the generator, and keep it as best.pt if its headline score is the lowest so far."""
    watch, reference = run.settings.watch, run.reference
    assert reference is not None
    generator, count, seed = run.sampling_generator(), watch.scores_images, run.settings.seed
    labels = reference.draw_labels(generator.class_count, count, seed)
    images = protocol.generate_images(generator, run.noise, count, seed, run.device, labels)
    scores = reference.score(reference.feature_stats(images), watch.scores_parzen)
    record, found = reference.record(watch.scores_images), headline(scores)
    assert found is not None
    column, score = found
    best = checkpoint.best_score(folder, column, record)
    logger.log_scores(run.step, scores, record)
    status.update(folder, scores=scores | record, real_data=run.real_data)
    log.info("step %d: %s", run.step, catalogue.summary(scores, reference.features))
    if score < best:
        checkpoint.save(folder, run.state_dict() | {"scores": scores | record}, "best")


def real_data_beside(scores: dict[str, Any], run: TrainingRun, folder: Path) -> dict[str, Any]:
    """The real-data baseline by the protocol of `scores`, of status.json or computed now; empty where neither has it.

    The one of status.json may belong to an evaluation since then.
    """
    wanted = {name: scores[name] for name in PROTOCOL if name in scores}
    if not wanted:
        return {}
    kept: dict[str, Any] = status.read(folder)["real_data"]
    if wanted.items() <= kept.items():
        return kept
    return run.real_data if wanted.items() <= run.real_data.items() else {}


def save_real_images(run: TrainingRun, folder: Path, logger: RunLogger) -> None:
    """Write a grid of real images as D sees them without tricks that change each batch, such as instance_noise.

    They are chosen by the seed, and have the size, channels and, in a conditional run, the order of the sample grids.
    Of real points, a figure. Where the classes have names, figures/real_classes.png shows some images of each,
    whatever the seed.
    """
    path = folder / "samples" / "real.png"
    if run.generator.pixel_range is None:
        point_samples.save_real_points(run, path)
        logger.log_grid(0, path, "real points")
        return
    batches, classes = run.batches, run.generator.class_count
    order = torch.randperm(len(batches.images), generator=randomness.random_generator("cpu", run.settings.seed, "real"))
    if classes and batches.labels is not None:
        order = cycle_classes(order, batches.labels.cpu()[order], classes)
    indices = order[: sampling.grid_count(run.settings.watch.samples, classes)].to(batches.images.device)
    grid = sampling.image_grid(batches.images[indices].cpu(), sampling.grid_columns(len(indices), classes))
    write_png(grid, path)
    logger.log_grid(0, path, "real images")
    if run.data.class_names:
        sheet = draw_contact_sheet(batches.images, run.data)
        write_png(sheet, folder / "figures" / "real_classes.png")


def cycle_classes(order: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The indices `order` (n,) sorted so that their `labels` (n,) cycle through the classes, while there are any."""
    by_class, counts = labels.argsort(stable=True), labels.bincount(minlength=classes)
    number_in_class = torch.arange(len(labels)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return order[by_class[(number_in_class * classes + labels[by_class]).argsort()]]


def save_samples(run: TrainingRun, folder: Path, logger: RunLogger) -> None:
    """Write the grid of the fixed noise, and with `watch.samples_normalized` the same one in its own pixel range."""
    path = folder / "samples" / files.grid_name(run.step)
    images = draw_images(run, run.fixed_noise)
    save_grid(run, images, run.fixed_noise, run.generator.pixel_range, path)
    logger.log_grid(run.step, path)
    if run.settings.watch.samples_normalized:
        normalized = path.with_name(files.grid_name(run.step, "normalized"))
        save_grid(run, images, run.fixed_noise, sampling.own_range(images), normalized)


def draw_images(run: TrainingRun, noise: Tensor) -> Tensor:
    """G's output (n, C, H, W) or (n, d) for `noise` (n, noise_dim), of all classes in turn."""
    generator, batch_size = run.sampling_generator(), run.settings.train.batch_size
    labels = sampling.cycle_labels(generator.class_count, len(noise), run.device)
    randomness.reseed(run.device, run.settings.seed, "drawing")  # a generator may have noise or dropout of its own
    return sampling.run_generator(generator, noise, labels, batch_size)


def save_grid(run: TrainingRun, images: Tensor, noise: Tensor, pixel_range: PixelRange, path: Path) -> None:
    """Write a grid of G's output (n, C, H, W) for `noise`, scaled from `pixel_range`; of points (n, d), a figure."""
    if pixel_range is None:
        point_samples.save_points(run, images, noise, path)
        return
    columns = sampling.grid_columns(len(images), run.generator.class_count)
    write_png(sampling.image_grid(sampling.to_uint8(images, pixel_range), columns), path)


def write_png(image: Image.Image, path: Path) -> None:
    """Write a PNG. At level 3, photographs take a third of the default level's time, and 4 % more space."""
    with files.atomic_write(path, durable=False) as file:
        image.save(file, format="png", compress_level=3)


def finish(run: TrainingRun, folder: Path, logger: RunLogger) -> None:
    """Write metrics, samples and scores of the last step, unless they were just due, and final.png."""
    if not run.is_log_due(run.step):
        log_metrics(run, folder, logger)
    if not run.is_sample_due(run.step):
        save_samples(run, folder, logger)
    if run.settings.watch.scores_every and run.step == run.total_steps and not run.is_score_due(run.step):
        log_scores(run, folder, logger)
    if asked := run.settings.watch.final_samples:
        count = sampling.grid_count(asked, run.generator.class_count)
        noise = run.noise.sample(count, randomness.random_generator("cpu", run.settings.seed, "final"))
        images = draw_images(run, noise.to(run.device))
        save_grid(run, images, noise, run.generator.pixel_range, folder / "final.png")


def save_findings(run: TrainingRun, followers: Sequence[Follower], folder: Path, logger: RunLogger) -> None:
    """Write the figure of each follower, and what it found into status.json, if this run has made a step."""
    findings: dict[str, Any] = {}
    for follower in followers:
        path = folder / "figures" / f"{follower.name}.png"
        if found := follower.conclude(run, path):
            logger.log_grid(run.step, path, follower.name)
            findings |= {f"{follower.name}/{name}": value for name, value in found.items()}
    if findings:
        status.update(folder, findings=findings)
