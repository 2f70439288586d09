"""Draw pictures with a trained generator. `python sample.py --help` lists the options."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from gan import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="sample")
def main(cfg: DictConfig) -> None:
    from gan import config

    asked = config.check_sampling(cfg)

    from gan import build, sampling

    device = build.pick_device(asked.device)
    generator, noise = build.trained_generator(Path(asked.run), device)
    print(f"Pictures are in {sampling.write(generator, noise, asked, device)}")


if __name__ == "__main__":
    with cli.plain_errors():
        main()
