"""Compute the metrics of runs: `python -m gan.evaluate run=outputs/RUN`, and `--help`."""

import contextlib
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, messages, overrides, paths
from gan.config import CONF
from gan.config.errors import printable
from gan.config.schema import Evaluation
from gan.metrics.catalogue import direction, protocol_line
from gan.report.cells import Number, best, mean_over
from gan.report.runs import read_evaluations
from gan.system import files, locks, status

if TYPE_CHECKING:  # torch is imported only once the command line is understood
    import torch

    from gan.metrics.protocol import Reference
    from gan.training.build import TrainedRun

COUNT, STACKED_COUNT = 10_000, 26_000  # images to generate, as in papers
NEIGHBOR_IMAGES = 16
WIDTH, MAX_LABEL_WIDTH, GAP = 100, 30, "  "  # of the printed tables, in characters
Scores = dict[str, Number]  # by column, each the mean over sampling seeds


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
def main(cfg: DictConfig) -> None:
    try:
        evaluate(cfg)
    except Exception as error:
        messages.exit_with(error)


def evaluate(cfg: DictConfig) -> None:
    """Score every run in `run=`, and print tables for each protocol, with the real-data baseline as the last row."""
    from gan.config import check

    settings = check.check_evaluation(cfg)
    run_folders = [paths.find_run(text) for text in dict.fromkeys(settings.run)]

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
            folder: build.load_trained(folder, settings.checkpoint, settings.ema, device, settings.trust)
            for folder in run_folders
        }
        for folder, run in runs.items():
            typed = settings.data_dir or run.cfg.data_dir, settings.cache_dir or run.cfg.cache_dir
            folders = paths.expand_home(typed[0]), paths.expand_home(typed[1])
            key = repr(run.cfg.dataset), folders
            if key not in references:
                references[key] = build.build_reference(run.cfg, settings.split, settings.features, folders, device)
            reference = references[key]
            count = settings.n or (STACKED_COUNT if reference.name == protocol.STACKED_MNIST else COUNT)
            seeds = f", {settings.seeds} times" if settings.seeds > 1 else ""
            print(printable(f"{folder}: {count} images of step {run.step}{seeds} ..."), flush=True)
            record = reference.record(count)
            scores = score_run(run, reference, settings, count, device)
            baseline = reference.real_data_baseline(count, settings.parzen, folders[1])
            real_data = {column: Number(value) for column, value in baseline.items()}
            tables.setdefault(protocol_line(record), ({}, real_data))[0][paths.describe_run(folder)] = scores
            try:
                save_scores(folder, run.step, scores, real_data, record, settings)
                save_neighbors(run, reference, folder, device)
            except OSError as error:  # the numbers took minutes: they are printed before the error
                failure = failure or error
    for line, (rows, real_data) in tables.items():
        print(f"\n{textwrap.fill(printable(line), WIDTH)}\n\n{format_table(rows, real_data)}")
    if failure:
        raise failure


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
        means, baseline = ({column: it.mean for column, it in numbers.items()} for numbers in (scores, real_data))
        status.update(folder, scores=means | record, real_data=baseline | record if baseline else {})
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
        sampling.image_grid(pairs, columns=NEIGHBOR_IMAGES).save(file, format="png")


def format_table(rows: dict[str, Scores], real_data: Scores) -> str:
    """One row per run, and the real-data baseline below; a new table where the next column goes beyond WIDTH.

    The second line says which direction is better, and a star which run is best.
    """
    names = [*map(printable, rows), "real images"]
    label_width = min(max(map(len, [*names, "better"])), MAX_LABEL_WIDTH)
    labels = [[""], ["better"], *(textwrap.wrap(name, label_width) or [name] for name in names)]
    tables: list[list[str]] = []
    for column in dict.fromkeys(column for row in rows.values() for column in row):
        cells = format_column(column, [row.get(column) for row in rows.values()], real_data.get(column))
        if not tables or len(tables[-1][0]) + len(GAP) + len(cells[0]) > WIDTH:
            tables.append([label[0].ljust(label_width) for label in labels])
        tables[-1] = [GAP.join(pair) for pair in zip(tables[-1], cells, strict=True)]
    # a long label goes on below its row
    text = [
        "\n".join("\n".join([line.rstrip(), *label[1:]]) for line, label in zip(table, labels, strict=True))
        for table in tables
    ]
    return "\n\n".join([*text, "*: the best of these runs"] if len(rows) > 1 else text)


def format_column(column: str, numbers: Sequence[Number | None], real_data: Number | None) -> list[str]:
    """The cells of a column, all of one width: its name, the better direction, the runs and the real-data baseline."""
    best_mean = best(column, numbers) if len({number.mean for number in numbers if number}) > 1 else None
    values = [f"*{number}" if number and number.mean == best_mean else str(number or "-") for number in numbers]
    cells = [column, direction(column) or "-", *values, str(real_data or "-")]
    return [cell.rjust(max(map(len, cells))) for cell in cells]


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("evaluate")
        typed = paths.read_arguments(overrides.merge_repeated(sys.argv[1:], "run"), ["run", "data_dir", "cache_dir"])
        sys.argv[1:] = arguments.check_arguments(typed, "evaluate")
        main()
