"""Sample images from a trained generator. `python sample.py --help` lists the settings."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, messages, overrides
from gan.config.errors import printable


@hydra.main(version_base="1.3", config_path="conf", config_name="sample")
def main(cfg: DictConfig) -> None:
    try:
        print(printable(f"Images written to {sample_images(cfg)}"))
    except Exception as error:
        messages.exit_with(error)


def sample_images(cfg: DictConfig) -> Path:
    """Write the images. Returns the file or folder that they are in."""
    from gan.config import check  # torch is imported only once the command line is checked

    settings = check.check_sampling(cfg)

    from gan import sampling
    from gan.system.device import memory_errors, select_device
    from gan.training import build

    device = select_device(settings.device)
    with memory_errors():
        run = build.load_trained(Path(settings.run), settings.checkpoint, settings.ema, device, settings.trust)
        return sampling.write_samples(run.generator, run.noise, settings, device)


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("sample")
        sys.argv[1:] = arguments.check_arguments(sys.argv[1:], "sample")
        main()
