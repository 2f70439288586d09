"""Draw pictures with a trained generator. `python sample.py --help` lists the options."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from gan.cli import messages, overrides


@hydra.main(version_base="1.3", config_path="conf", config_name="sample")
def main(cfg: DictConfig) -> None:
    try:
        print(f"ImageDataset are in {draw(cfg)}")
    except Exception as error:
        messages.exit_with(error)


def draw(cfg: DictConfig) -> Path:
    """Returns the file or folder that holds what was asked for."""
    from gan.config import check

    asked = check.check_sampling(cfg)

    from gan import sampling
    from gan.system.device import memory_errors, select_device
    from gan.training import build

    device = select_device(asked.device)
    with memory_errors():
        run = build.load_trained(Path(asked.run), asked.checkpoint, asked.ema, device)
        return sampling.write_samples(run.generator, run.noise, asked, device)


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("sample")
        main()
