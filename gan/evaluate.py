"""Compute the metrics of runs: `python -m gan.evaluate run=outputs/RUN`, and `--help`."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, messages, overrides
from gan.config.errors import printable
from gan.config.schema import Evaluation
from gan.metrics.catalogue import protocol_line
from gan.report.cells import Number, best, mean_over
from gan.report.escape import markdown
from gan.report.runs import read_evaluations
from gan.system import files, locks, status

if TYPE_CHECKING:  # torch is imported only once the command line is understood
    import torch

    from gan.metrics.protocol import Reference
    from gan.training.build import TrainedRun

COUNT, STACKED_COUNT = 10_000, 26_000  # images to generate, as in papers
NEIGHBOR_IMAGES = 16
Scores = dict[str, Number]  # by column, each the mean over sampling seeds


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    try:
        evaluate(cfg)
    except Exception as error:
        messages.exit_with(error)


def evaluate(cfg: DictConfig) -> None:
    """Score every run in `run=`, and print a table for each protocol, with the real-data baseline as its last row."""
    from gan.config import check

    settings = check.check_evaluation(cfg)

    from gan.metrics import protocol
    from gan.system.device import memory_errors, select_device
    from gan.training import build

    device = select_device(settings.device)
    references: dict[tuple[str, tuple[Path, Path]], Reference] = {}
    tables: dict[str, tuple[dict[str, Scores], Scores]] = {}
    failure: OSError | None = None
    with memory_errors():
        # load all of them first: an error in one should not come after minutes of work on another
        runs = {
            name: build.load_trained(Path(name), settings.checkpoint, settings.ema, device, settings.trust)
            for name in settings.run
        }
        for name, run in runs.items():
            folders = Path(settings.data_dir or run.cfg.data_dir), Path(settings.cache_dir or run.cfg.cache_dir)
            key = repr(run.cfg.dataset), folders
            if key not in references:
                references[key] = build.build_reference(run.cfg, settings.split, settings.features, folders, device)
            reference = references[key]
            count = settings.n or (STACKED_COUNT if reference.name == protocol.STACKED_MNIST else COUNT)
            record = reference.record(count)
            scores = score_run(run, reference, settings, count, device)
            baseline = reference.real_data_baseline(count, settings.parzen, folders[1])
            real_data = {column: Number(value) for column, value in baseline.items()}
            tables.setdefault(protocol_line(record), ({}, real_data))[0][label(name)] = scores
            try:
                save_scores(Path(name), run.step, scores, real_data, record, settings)
                save_neighbors(run, reference, Path(name), device)
            except OSError as error:  # the numbers took minutes: they are printed before the error
                failure = failure or error
    for line, (rows, real_data) in tables.items():
        print(f"\n{printable(line)}\n\n{format_table(rows, real_data)}")
    if failure:
        raise failure


def label(run: str) -> str:
    """The run in a table, with its state where it is known that it did not finish."""
    outcome = status.outcome(Path(run))
    is_silent = outcome["state"] == "finished" or not Path(run, "status.json").exists()
    return run if is_silent else f"{run} ({outcome['state']} at step {outcome['step']})"


def score_run(
    run: "TrainedRun", reference: "Reference", settings: Evaluation, count: int, device: "torch.device"
) -> Scores:
    """All metrics of a run, over `seeds` sampling seeds."""
    from gan.metrics import protocol

    generator, gap = run.generator, None
    if reference.split == "test":
        gap = protocol.discriminator_gap(
            run.discriminator,
            reference.train[: run.cfg.dataset.limit],
            reference.real,
            pixel_range=generator.pixel_range,
            batch_size=run.cfg.train.batch_size,
            classes=generator.class_count,
            device=device,
        )
    scores = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        labels = reference.draw_labels(generator.class_count, count, seed)
        images = protocol.generate_images(generator, run.noise, count, seed, device, labels)
        scores.append(reference.score(reference.feature_stats(images), settings.parzen, gap))
    means = {column: mean_over(each[column] for each in scores) for column in scores[0]}
    return {column: mean for column, mean in means.items() if mean is not None}


def save_scores(
    folder: Path, step: int, scores: Scores, real_data: Scores, record: dict[str, Any], settings: Evaluation
) -> None:
    """Add the scores to the run's scores.json, and to TensorBoard and status.json if they are of its last checkpoint.

    scores.json is a list of evaluations. An earlier one that was made in the same way is updated. Another process may
    evaluate the same run at the same time.
    """
    from torch.utils.tensorboard import SummaryWriter

    seeds = list(range(settings.seed, settings.seed + settings.seeds))
    key = {"step": step, "checkpoint": settings.checkpoint, "ema": settings.ema, "seeds": seeds, **record}
    path = folder / "scores.json"
    with locks.exclusive(path):
        with contextlib.suppress(FileNotFoundError, ValueError):
            files.read_json(path)  # raises OSError: what cannot be read would be lost below
        evaluations = read_evaluations(folder)
        if path.exists() and not evaluations:
            files.move_aside(path)
        earlier, others = {}, []
        for evaluation in evaluations:
            if key.items() <= evaluation.items():
                earlier = evaluation
            else:
                others.append(evaluation)
        parts = {
            part: earlier.get(part, {}) | {column: number._asdict() for column, number in numbers.items()}
            for part, numbers in (("scores", scores), ("real_data", real_data))
        }
        files.write_json(path, [*others, key | parts])
    if settings.checkpoint == "last" and settings.ema:  # as during training
        means = {column: number.mean for column, number in scores.items()}
        status.update(folder, scores=means | record)
        with SummaryWriter(folder) as board:
            for column, mean in means.items():
                board.add_scalar(f"evaluation/{column}", mean, step)


def save_neighbors(run: "TrainedRun", reference: "Reference", folder: Path, device: "torch.device") -> None:
    """Write figures/neighbors.png: generated images, and below each its nearest training image, to show copies."""
    import torch

    from gan import sampling
    from gan.metrics import formulas, protocol

    labels = reference.draw_labels(run.generator.class_count, NEIGHBOR_IMAGES, 0)
    (images,) = protocol.generate_images(run.generator, run.noise, NEIGHBOR_IMAGES, 0, device, labels)
    train_images = reference.train[: run.cfg.dataset.limit].images
    pairs = torch.cat([images, train_images[formulas.nearest_neighbors(images, train_images)]])
    with files.atomic_write(folder / "figures" / "neighbors.png") as file:
        sampling.image_grid(pairs, classes=NEIGHBOR_IMAGES).save(file, format="png")


def format_table(rows: dict[str, Scores], real_data: Scores) -> str:
    """Markdown: one row per run, the best of each column in bold, and the real-data baseline as the last row."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    best_means = {column: best(column, (row.get(column) for row in rows.values())) for column in columns}
    lines = [["run", *map(markdown, columns)], ["---"] * (len(columns) + 1)]
    for run, row in rows.items():
        bold = {column: "**" for column in row if row[column].mean == best_means[column]}
        numbers = [f"{bold.get(name, '')}{row.get(name, '-')}{bold.get(name, '')}" for name in columns]
        lines.append([markdown(run), *numbers])
    lines.append(["real images", *(str(real_data.get(column, "-")) for column in columns)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("evaluate")
        sys.argv[1:] = arguments.check_arguments(overrides.merge_repeated(sys.argv[1:], "run"), "evaluate")
        main()
