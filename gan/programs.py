"""The programs: what train.py, sample.py, `python -m gan PROGRAM` and the commands gan-train, gan-sample, ... start.

Each reads `sys.argv` and ends like a command: errors are one sentence and an exit code.
"""

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, jobs, messages, overrides, paths
from gan.config import CONF
from gan.config.errors import printable

if TYPE_CHECKING:
    from gan.training.loop import Callback


def train() -> None:
    """`python train.py`: train a GAN."""
    with messages.user_errors():
        overrides.print_help("train")
        sys.argv[1:] = overrides.parse_arguments(arguments.check_arguments(sys.argv[1:], "train"))
        train_job()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def train_job(cfg: DictConfig) -> float | None:
    """A run as a Hydra job, of which a sweep has several."""
    return jobs.run_job(train_in, cfg)


def train_in(cfg: DictConfig, folder: Path, callback: "Callback | None" = None) -> int:
    """Train in `folder`. Returns the number of the signal that stopped the run, or 0.

    Args:
        callback: as `gan.training.loop.train` calls it.
    """
    from gan.config import check  # torch is imported only once the command line is checked

    settings = check.check_config(cfg)
    jobs.announce(folder, settings.resume is not None)

    from gan.system import distributed
    from gan.system.device import memory_errors, select_device
    from gan.training import build, initial_weights, loop
    from gan.training.resume import resume

    with memory_errors(), distributed.process_group(select_device(settings.device)):
        source = None
        if settings.resume is None:
            distributed.from_rank_zero(lambda: jobs.check_unused(folder))
            if settings.init_from is not None:  # read first: an error should not come after minutes of loading data
                source = initial_weights.read_source(paths.expand_zoo(settings.init_from, "init_from"))
        run = build.build_run(cfg, settings, jobs.hparams(cfg))
        if source is not None:
            initial_weights.start_from(run, source)
        if settings.resume is not None:
            resume(run, folder)
            jobs.write_hydra_files(cfg, folder)
        return loop.train(run, folder, callback)


def sample() -> None:
    """`python sample.py`: sample images from a run, or export its generator."""
    with messages.user_errors():
        overrides.print_help("sample")
        typed = paths.read_arguments(sys.argv[1:], ["run", "out", "class", "like"])
        sys.argv[1:] = arguments.check_arguments(typed, "sample")
        sample_and_print()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="sample")
def sample_and_print(cfg: DictConfig) -> None:
    try:
        print(printable(sample_images(cfg)))
    except Exception as error:
        messages.exit_with(error)


def sample_images(cfg: DictConfig) -> str:
    """Write the images, or the generator itself. Returns a sentence that says where they are."""
    from gan.config import check  # torch is imported only once the command line is checked

    settings = check.check_sampling(cfg)
    folder = paths.find_run(settings.run)
    settings = paths.choose_output(settings, folder)

    from gan import export, generator_file, model_card, sample_files
    from gan.system.device import memory_errors, select_device

    device = select_device(settings.device)
    with memory_errors():
        run = generator_file.load_run(folder, settings.checkpoint, settings.ema, device, settings.trust)
        if settings.format in paths.EXPORTS:
            out = Path(str(settings.out))
            outcome = export.export_generator(run, settings.format, settings.output, out)
            card = model_card.write_card(run, folder, settings, outcome)
            what = f"generator of step {run.step} of {paths.describe_run(folder)}"
            return f"{what} written to {out}, with {card.name} (check: {outcome})"
        if settings.format == "explorer":
            from gan.explorer.page import write_page

            what = write_page(run, folder, settings, device)
            return f"page of step {run.step} of {paths.describe_run(folder)}, {what}, written to {settings.out}"
        if settings.like:
            from gan import projection

            targets = projection.read_targets(settings.like, run)
            found = projection.project(run, targets, settings.class_, settings.seed, device)
            projection.write_projection(run, found, settings, device)
            distances = " and ".join(f"{distance:.2f}" for distance in found.distances)
            what = f"nearest images of step {run.step} of {paths.describe_run(folder)}"
            how = f"distance {distances}, by pixels and features of {found.features}"
            return f"{what} ({how}) written to {settings.out}"
        count = sample_files.write_samples(run.generator, run.noise, run.image, settings, device, draw_points)
    kind = "points" if run.generator.pixel_range is None else "images"
    return f"{count} {kind} of step {run.step} of {paths.describe_run(folder)} written to {settings.out}"


def draw_points(*shown: Any, **options: Any) -> None:
    """`gan.training.point_figures.draw_points`, which needs matplotlib, for samples that are points."""
    from gan.training import point_figures

    point_figures.draw_points(*shown, **options)


def evaluate() -> None:
    """`python -m gan.evaluate`: compute the metrics of runs or images."""
    runpy.run_module("gan.evaluate", run_name="__main__", alter_sys=True)


def report() -> None:
    """`python -m gan.report`: write a page about runs."""
    runpy.run_module("gan.report", run_name="__main__", alter_sys=True)


def data() -> None:
    """`python -m gan.data`: what a dataset has."""
    runpy.run_module("gan.data", run_name="__main__", alter_sys=True)
