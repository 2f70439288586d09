"""Look at a dataset without training: `python -m gan.data PATH_OR_DATASET`, and `--help`."""

import contextlib
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from gan.cli import arguments, messages, overrides, paths
from gan.config import CONF
from gan.config.errors import ConfigError, printable
from gan.config.options import option_files
from gan.config.schema import Inspection
from gan.system import cache, files
from gan.system.console import labeled, wrapped

if TYPE_CHECKING:  # torch is imported only once the command line is understood
    from gan.data.datasets import ImageDataset

NO_SIZE = "dataset.image_size=null"  # with which the error for images of several sizes begins
SHOWN_SIZE = 64  # side in pixels at which these are shown


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="data")
def main(cfg: DictConfig) -> None:
    try:
        for line in inspect_data(cfg):
            print(printable(line), flush=True)
    except Exception as error:
        messages.exit_with(error)


def inspect_data(cfg: DictConfig) -> Iterator[str]:
    """Lines about a dataset, whose contact sheet is written; or with `cache`, about the cache."""
    from gan.config import check

    settings = check.check_inspection(cfg)
    if settings.cache:
        yield from cache.describe(paths.expand_home(settings.cache_dir))
        return

    from gan.data import summary
    from gan.data.contact_sheet import draw_contact_sheet
    from gan.data.image_shape import PointShape
    from gan.system.device import memory_errors
    from gan.training.build import dataset_name
    from gan.training.point_figures import SHOWN_POINTS, draw_points

    name, path = dataset_name(cfg), str(cfg.dataset.get("path", ""))
    out = choose_output(settings.out, name, path)
    with memory_errors(), cache_outside(paths.expand_home(settings.cache_dir), path) as cache_dir:
        dataset, advice = load_images(cfg, settings, cache_dir)
        data = summary.summarize(dataset, name, path)
    if isinstance(dataset.shape, PointShape):
        shown = dataset.images[:SHOWN_POINTS].numpy()
        draw_points(out, shown, shown[:0], shown[:0], None, None, printable(name))
    else:
        sheet = draw_contact_sheet(dataset.images, data)
        with files.atomic_write(out) as file:
            sheet.save(file, format="png")
    parts = {
        "data": f"{name}{f' from {data.source}' if data.source else ''}",
        "points" if len(data.shape) == 1 else "images": summary.describe_images(data),
        "classes": summary.describe_classes(data) or "none",
        "skipped": summary.describe_skipped(data) or "nothing",
        "content": ", ".join(f"{part} {value}" for part, value in data.content.items()),
        "size": advice,
        "figure" if len(data.shape) == 1 else "contact sheet": files.relative_path(out),
    }
    yield from (line for label, text in parts.items() if text for line in wrapped(labeled(label, printable(text))))
    yield labeled("to train", training_line(advice))


def load_images(cfg: DictConfig, settings: Inspection, cache_dir: Path) -> tuple["ImageDataset", str]:
    """The dataset, and what to say about its size where images of several sizes are shown at one."""
    from gan.training.build import instantiate_node

    folders = {"data_dir": paths.expand_home(settings.data_dir), "cache_dir": cache_dir}
    try:
        return instantiate_node(cfg.dataset, **folders, split=settings.split), ""
    except ConfigError as error:
        if not str(error).startswith(NO_SIZE):
            raise
        advice = f"shown at {SHOWN_SIZE} pixels; {error}"
    sized = DictConfig({**cfg.dataset, "image_size": SHOWN_SIZE})
    return instantiate_node(sized, **folders, split=settings.split), advice


def training_line(advice: str) -> str:
    """What to type to train on the same data."""
    chosen = [word for word in sys.argv[1:] if word.startswith(("dataset", "data_dir=", "cache_dir="))]
    return overrides.shell_line("train.py", *chosen, *([f"dataset.image_size={SHOWN_SIZE}"] if advice else []))


def choose_output(typed: str | None, name: str, path: str) -> Path:
    """The file of the contact sheet. Raises ConfigError where it would be among the data."""
    ending = "".join(letter if letter.isalnum() else "_" for letter in Path(path).resolve().name if path) or name
    out = paths.expand_home(typed) if typed else Path("outputs", f"data-{ending}.png")
    if typed and out.suffix.lower() != ".png":
        raise ConfigError(f"out={typed}: must end in .png.")
    if lies_in(out, path):
        raise ConfigError(f"out={out}: lies in the folder of the images; type {shlex.quote('out=../sheet.png')}.")
    return out


@contextlib.contextmanager
def cache_outside(cache_dir: Path, path: str) -> Iterator[Path]:
    """The folder of the cache, or one for this program alone where it would be among the data."""
    if not lies_in(cache_dir, path):
        yield cache_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def lies_in(file: Path, path: str) -> bool:
    return bool(path) and Path(path).is_dir() and file.resolve().is_relative_to(Path(path).resolve())


def read_arguments(typed: list[str]) -> list[str]:
    """The command line as Hydra should read it: a word that is no setting names a folder, an archive or a dataset."""
    read = []
    for word in typed:
        if word == "--cache":
            read.append("cache=true")
        elif word in option_files("dataset") and not Path(word).exists():
            read.append(f"dataset={word}")
        elif is_path(word):
            path = overrides.quote_override("dataset.path", str(paths.expand_home(word)))
            read += ["dataset=image_folder", path]
        else:
            read.append(word)
    if sum(word.startswith("dataset=") for word in read) > 1:
        raise ConfigError(f"{' '.join(typed)}: one folder, archive or dataset at a time.")
    return paths.read_arguments(read, ["out", "data_dir", "cache_dir"])


def is_path(word: str) -> bool:
    """Whether a word is no setting, such as `name=value`, `~name` or a flag."""
    return Path(word).exists() or not ("=" in word or word.startswith("-") or re.fullmatch(r"~[\w.]+", word))


if __name__ == "__main__":
    with messages.user_errors():
        overrides.print_help("data")
        sys.argv[1:] = arguments.check_arguments(read_arguments(sys.argv[1:]), "data")
        main()
