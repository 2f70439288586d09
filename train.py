"""Train a GAN. `python train.py --help` lists what can be chosen."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from gan.cli.messages import jobs, messages, overrides
from gan.system.rank import NUMBER


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    return jobs.job(train, cfg)


def train(cfg: DictConfig, folder: Path) -> int:
    """One run, in `folder`. Returns the number of the signal that stopped it, or 0."""
    from gan.config import check  # here and not above: torch is imported only once the command line is understood

    settings = check.check(cfg)

    from gan.system import distributed
    from gan.system.device import enough_memory, pick
    from gan.training import build, loop

    with enough_memory(), distributed.together(pick(settings.device)):
        if settings.resume is None:
            distributed.from_first(lambda: jobs.refuse_used(folder))
        run = build.build(cfg, settings, jobs.choices())
        if settings.resume is not None:
            loop.go_back(run, folder)
            jobs.write_down(cfg, folder)
        stopped_by = loop.run(run, folder)
    if NUMBER == 0:
        jobs.say_what_next(folder)
    return stopped_by


if __name__ == "__main__":
    with messages.plain_errors():
        overrides.answer_help("train")
        sys.argv[1:] = overrides.understood(sys.argv[1:])
        main()
