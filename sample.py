"""Sample images from a trained generator, or export it. `python sample.py --help` lists the settings."""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, messages, overrides, paths
from gan.config.errors import printable


@hydra.main(version_base="1.3", config_path="conf", config_name="sample")
def main(cfg: DictConfig) -> None:
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

    from gan import export, model_card, sample_files
    from gan.system.device import memory_errors, select_device
    from gan.training import build

    device = select_device(settings.device)
    with memory_errors():
        run = build.load_trained(folder, settings.checkpoint, settings.ema, device, settings.trust)
        if settings.format in paths.EXPORTS:
            out = Path(str(settings.out))
            outcome = export.export_generator(run, settings.format, settings.output, out)
            card = model_card.write_card(run, folder, settings, outcome)
            what = f"generator of step {run.step} of {paths.describe_run(folder)}"
            return f"{what} written to {out}, with {card.name} (check: {outcome})"
        count = sample_files.write_samples(run.generator, run.noise, run.image, settings, device)
    return f"{count} images of step {run.step} of {paths.describe_run(folder)} written to {settings.out}"


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("sample")
        typed = paths.read_arguments(sys.argv[1:], ["run", "out", "class"])
        sys.argv[1:] = arguments.check_arguments(typed, "sample")
        main()
