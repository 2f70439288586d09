"""Train a GAN. `python train.py --help` lists the settings."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, jobs, messages, overrides


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    return jobs.run_job(train, cfg)


def train(cfg: DictConfig, folder: Path) -> int:
    """Train in `folder`. Returns the number of the signal that stopped the run, or 0."""
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
        return loop.train(run, folder)


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("train")
        sys.argv[1:] = overrides.parse_arguments(arguments.check_arguments(sys.argv[1:], "train"))
        main()
