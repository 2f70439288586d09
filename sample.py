"""Draw pictures with a trained generator. `python sample.py --help` lists the options."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from gan import arguments, cli


@hydra.main(version_base="1.3", config_path="conf", config_name="sample")
def main(cfg: DictConfig) -> None:
    try:
        print(f"Pictures are in {draw(cfg)}")
    except Exception as error:
        cli.leave(error)


def draw(cfg: DictConfig) -> Path:
    """Returns the file or folder that holds what was asked for."""
    from gan import config

    asked = config.check_sampling(cfg)

    from gan import build, sampling
    from gan.device import enough_memory, pick

    device = pick(asked.device)
    with enough_memory():
        run = build.trained(Path(asked.run), asked.checkpoint, asked.averaged, device)
        return sampling.write(run.generator, run.noise, asked, device)


if __name__ == "__main__":
    with cli.plain_errors():
        arguments.answer_help("sample")
        main()
