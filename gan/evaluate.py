"""Compute the metrics of runs, or of any images: `python -m gan.evaluate run=outputs/RUN`, and `--help`."""

import contextlib
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, messages, overrides, paths
from gan.config import CONF
from gan.config.errors import ConfigError, printable
from gan.config.schema import CLASSIFIER, Evaluation
from gan.metrics.catalogue import protocol_line
from gan.report.cells import Number, mean_over
from gan.report.runs import read_evaluations
from gan.report.score_table import WIDTH, Scores, Tables, format_table
from gan.system import files, locks, status

if TYPE_CHECKING:  # torch is imported only once the command line is understood
    import torch

    from gan.data.datasets import ImageDataset
    from gan.metrics.features import FeatureNetwork
    from gan.metrics.moments import MomentsReference
    from gan.metrics.protocol import Reference
    from gan.training.build import TrainedRun

COUNT, STACKED_COUNT = 10_000, 26_000  # images to generate, as in papers
NEIGHBOR_IMAGES = 16
FLAG = "--write-stats"
PATHS = ["run", "images", "reference", "stats", "write_stats", "features", "data_dir", "cache_dir"]


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
def main(cfg: DictConfig) -> None:
    try:
        evaluate(cfg)
    except Exception as error:
        messages.exit_with(error)


def evaluate(cfg: DictConfig) -> None:
    """Score what `run=` or `images=` names, and print tables for each protocol, with real images as the last row."""
    from gan.config import check

    settings = check.check_evaluation(cfg)
    if settings.run:
        evaluate_runs(settings)
        return
    from gan.evaluation import images

    print_tables(images.evaluate_images(settings))


def evaluate_runs(settings: Evaluation) -> None:
    """Score every run, and write the numbers into its folder, if it has one."""
    run_folders = [paths.find_run(text) for text in dict.fromkeys(settings.run)]

    from gan.evaluation import sources
    from gan.generator_file import load_run
    from gan.metrics import protocol
    from gan.system.device import memory_errors, select_device
    from gan.training import build

    device = select_device(settings.device)
    goals: dict[tuple[str, tuple[Path, Path]], Goal] = {}
    tables: Tables = {}
    failure: OSError | None = None
    with memory_errors():
        # load all of them first: an error in one should not come after minutes of work on another
        runs = {
            folder: load_run(folder, settings.checkpoint, settings.ema, device, settings.trust)
            for folder in run_folders
        }
        for folder, run in runs.items():
            check_kind(run, settings)
            check_data(run, folder)
        network = sources.load_network(settings, device)
        for folder, run in runs.items():
            typed = settings.data_dir or run.cfg.data_dir, settings.cache_dir or run.cfg.cache_dir
            folders = paths.expand_home(typed[0]), paths.expand_home(typed[1])
            key = repr(run.cfg.dataset), folders
            if key not in goals:
                goals[key] = choose_goal(run, settings, network, folders, device)
            goal = goals[key]
            is_stacked = build.dataset_name(run.cfg) == protocol.STACKED_MNIST
            count = settings.n or (STACKED_COUNT if is_stacked else COUNT)
            seeds = f", {settings.seeds} times" if settings.seeds > 1 else ""
            kind = "points" if run.generator.pixel_range is None else "images"
            print(printable(f"{paths.name_run(folder)}: {count} {kind} of step {run.step}{seeds} ..."), flush=True)
            record = goal.reference.record(count)
            scores = score_run(run, goal, settings, count, device)
            baseline = goal.reference.real_data_baseline(count, settings.parzen, folders[1])
            real_data = {column: Number(value) for column, value in baseline.items()}
            tables.setdefault(protocol_line(record), ({}, real_data))[0][paths.describe_run(folder)] = scores
            if paths.is_generator(folder):  # which has no folder
                continue
            try:
                save_scores(folder, run.step, scores, real_data, record, settings)
                if run.generator.pixel_range is not None:
                    save_neighbors(run, goal.train, folder, device)
            except OSError as error:  # the numbers took minutes: they are printed before the error
                failure = failure or error
    print_tables(tables)
    if failure:
        raise failure


def check_kind(run: "TrainedRun", settings: Evaluation) -> None:
    """Raise ConfigError for settings of images, where a run generates points."""
    if run.generator.pixel_range is None and (settings.features != CLASSIFIER or settings.stats):
        name = "stats" if settings.stats else "features"
        raise ConfigError(
            f"{name}={getattr(settings, name)}: leave it out; this run generates {run.image}, not images."
        )


def check_data(run: "TrainedRun", folder: Path) -> None:
    """Raise ConfigError for a generator in a file that has no path to what it was trained on."""
    from gan.generator_file import UNKNOWN

    if run.discriminator is not None or run.cfg.dataset.get("path") != UNKNOWN:
        return
    name, advice = paths.name_run(folder), ""
    if run.generator.pixel_range is not None:
        samples = ["n=10000", "format=npz", "out=fakes.npz"]
        sample = overrides.shell_line("sample.py", overrides.quote_override("run", name), *samples)
        score = overrides.shell_line("gan.evaluate", "images=fakes.npz", "reference=PATH")
        advice = f", or type {sample}, and then {score} with the path of the images"
    kind = "images" if advice else "points"
    raise ConfigError(
        f"run={printable(name)}: the file has no path to the {kind} that it was trained on; type the folder of the run "
        f"that it was exported from{printable(advice)}."
    )


class Goal(NamedTuple):
    """What the images of a run are scored against, and all that it may have been trained on."""

    reference: "Reference | MomentsReference"
    train: "ImageDataset"


def choose_goal(
    run: "TrainedRun",
    settings: Evaluation,
    network: "FeatureNetwork | None",
    folders: tuple[Path, Path],
    device: "torch.device",
) -> Goal:
    """The run's own dataset, or the statistics in `stats=`, if any."""
    from gan.evaluation import sources
    from gan.training import build

    if network is None or settings.stats is None:
        chosen = network or settings.features
        reference = build.build_reference(run.cfg, settings.split, chosen, folders, device)
        return Goal(reference, reference.train)
    train = sources.load_training_images(run.cfg, folders)
    return Goal(sources.load_moments(settings.stats, network, run.image, device), train)


def score_run(run: "TrainedRun", goal: Goal, settings: Evaluation, count: int, device: "torch.device") -> Scores:
    """All metrics of a run, over `seeds` sampling seeds."""
    from gan.metrics import protocol

    generator, reference, gap = run.generator, goal.reference, None
    if run.discriminator is not None and isinstance(reference, protocol.Reference) and reference.split == "test":
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
        labels = protocol.draw_labels(goal.train, generator.class_count, count, seed)
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
    if settings.checkpoint == "last" and settings.ema is True and not settings.stats:  # as during training
        means, baseline = ({column: it.mean for column, it in numbers.items()} for numbers in (scores, real_data))
        status.update(folder, scores=means | record, real_data=baseline | record if baseline else {})
        with SummaryWriter(folder) as board:
            for column, mean in means.items():
                board.add_scalar(f"evaluation/{column}", mean, step)


def save_neighbors(run: "TrainedRun", train: "ImageDataset", folder: Path, device: "torch.device") -> None:
    """Write figures/neighbors.png: generated images, and below each its nearest training image, to show copies."""
    import torch

    from gan import sampling
    from gan.metrics import formulas, protocol

    labels = protocol.draw_labels(train, run.generator.class_count, NEIGHBOR_IMAGES, 0)
    (images,) = protocol.generate_images(run.generator, run.noise, NEIGHBOR_IMAGES, 0, device, labels)
    train_images = train[: run.cfg.dataset.limit].images
    pairs = torch.cat([images, train_images[formulas.nearest_neighbors(images, train_images)]])
    with files.atomic_write(folder / "figures" / "neighbors.png") as file:
        sampling.image_grid(pairs, columns=NEIGHBOR_IMAGES).save(file, format="png")


def print_tables(tables: Tables) -> None:
    """Each table below the line of its protocol."""
    for line, (rows, real_data) in tables.items():
        print(f"\n{textwrap.fill(printable(line), WIDTH)}\n\n{format_table(rows, real_data)}")


def read_arguments(typed: list[str]) -> list[str]:
    """The command line as Hydra should read it, with `--write-stats FILE`, as pytorch-fid has it, as a setting."""
    words = typed
    if FLAG in typed[:-1]:
        number = typed.index(FLAG)
        words = [*typed[:number], f"write_stats={typed[number + 1]}", *typed[number + 2 :]]
    for name in ("run", "images"):
        words = overrides.merge_repeated(words, name)
    return arguments.check_arguments(paths.read_arguments(words, PATHS), "evaluate")


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("evaluate")
        sys.argv[1:] = read_arguments(sys.argv[1:])
        main()
