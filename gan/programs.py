"""The programs: what train.py, sample.py, `python -m gan PROGRAM` and the commands gan-train, gan-sample, ... start.

Each reads `sys.argv` and ends like a command: errors are one sentence and an exit code.
"""

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, jobs, messages, overrides
from gan.config import CONF

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
    from gan.training import build, loop
    from gan.training.resume import resume

    with memory_errors(), distributed.process_group(select_device(settings.device)):
        if settings.resume is None:
            distributed.from_rank_zero(lambda: jobs.check_unused(folder))
        run = build.build_run(cfg, settings, jobs.hparams(cfg))
        if settings.resume is not None:
            resume(run, folder)
            jobs.write_hydra_files(cfg, folder)
        return loop.train(run, folder, callback)


def sample() -> None:
    """`python sample.py`: sample images from a run."""


def evaluate() -> None:
    """`python -m gan.evaluate`: compute the metrics of runs or images."""
    runpy.run_module("gan.evaluate", run_name="__main__", alter_sys=True)


def report() -> None:
    """`python -m gan.report`: write a page about runs."""
    runpy.run_module("gan.report", run_name="__main__", alter_sys=True)


def data() -> None:
    """`python -m gan.data`: what a dataset has."""
    runpy.run_module("gan.data", run_name="__main__", alter_sys=True)
