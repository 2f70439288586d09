"""A generator in a safetensors file: its weights, and in the metadata the settings that it was trained with."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from omegaconf import OmegaConf

from gan import __version__
from gan.cli.paths import name_run
from gan.config import CONF, targets
from gan.config.errors import ConfigError, first_line, format_value, printable
from gan.data.image_shape import read_shape
from gan.models.base import Generator
from gan.system import files
from gan.training import build, checkpoint
from gan.training.build import TrainedRun
from gan.tricks.base import Tricks

KEY = "generator"  # in the metadata, with YAML as its value
NAMES = "class_names"  # the same, apart from the settings, as a name may look like a reference there; empty without
ENDING = ".safetensors"
GROUPS = ("seed", "dataset", "model", "loss", "optim", "trick", "noise", "train", "precision")  # of the configuration
FOLDERS = ("data_dir", "cache_dir")  # settings of the machine that loads it
UNKNOWN = "unknown"  # in place of paths
CPU = torch.device("cpu")


def to_bytes(run: TrainedRun, generator: Generator) -> bytes:
    """The content of the file: weights and buffers by their names in the generator of a run, and its configuration.

    It has no paths of the machine that it was trained on. `ema` there says which weights of the run it has.
    """
    state = generator.state_dict()
    weights = {name: tensor.contiguous().clone() for name, tensor in state.items()}  # none may share memory
    recipe: Any = OmegaConf.to_container(OmegaConf.masked_copy(run.cfg, list(GROUPS)), resolve=True)
    dataset = recipe["dataset"]
    recipe["dataset"] = dataset | {name: UNKNOWN for name in ("path", "test_path") if dataset.get(name) is not None}
    *shape, names = run.image.record()
    recipe |= {"image": shape, "step": run.step, "ema": run.ema, "version": __version__}
    texts = {KEY: OmegaConf.to_yaml(OmegaConf.create(recipe)), NAMES: yaml.safe_dump(list(names))}
    return safetensors.torch.save(weights, {"format": "pt"} | texts)


def load_generator(path: str | Path, trust: targets.Trust = False) -> Generator:
    """The generator in a file of `sample.py format=safetensors`, on the CPU in eval mode.

    It maps noise float32 (N, noise_dim), and labels int64 (N,) if it is conditional, to images float32 (N, C, H, W) in
    its `pixel_range`. The file may come from a stranger.

    Args:
        trust: true: import code outside this project that the file names.

    Raises OSError where the file cannot be read; ConfigError where it is something else, or names such code.
    """
    return load_file(Path(path), trust).generator


def load_run(
    path: Path, which: str = "last", ema: bool | float = True, device: torch.device = CPU, trust: targets.Trust = False
) -> TrainedRun:
    """The networks of a run folder, as `build.load_trained` does, or of a file with a generator alone.

    Raises ConfigError for a choice of `which` and `ema` that a file does not have.
    """
    if path.is_dir():
        return build.load_trained(path, which, ema, device, trust)
    typed = [f"checkpoint={which}"] if which != "last" else []
    typed += [f"ema={format_value(ema)}"] if ema is not True else []
    if typed:
        raise ConfigError(f"{printable(name_run(path))} has one generator: leave out {' and '.join(typed)}.")
    run = load_file(path, trust)
    run.generator.to(device)
    return run


def load_file(path: Path, trust: targets.Trust) -> TrainedRun:
    """A run without D, of the generator in a file."""
    try:
        with files.open_file(path) as file:
            data = file.read()
        weights = safetensors.torch.load(data)
        texts = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        recipe, names = checkpoint.parse_config(texts[KEY]), files.parse_yaml(texts.get(NAMES, "[]"))
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: must be a file of sample.py format=safetensors ({first_line(error)}).") from error
    with checkpoint.compatible_version(path):
        defaults: Any = OmegaConf.load(CONF / "train.yaml")
        folders = {name: defaults[name] for name in FOLDERS}
        cfg = OmegaConf.create(folders | {name: recipe[name] for name in GROUPS if name in recipe})
        build.check_stored(cfg, trust)
        image, ema = read_shape([*recipe["image"], tuple(names)]), recipe.get("ema")
        if not isinstance(ema, (int, float, type(None))):  # or bool
            raise ValueError("ema must be true, false or a decay")
        generator, discriminator = build.build_networks(cfg, image)
        Tricks(list(build.build_tricks(cfg).values())).modify_networks(generator, discriminator, image)
        generator.load_state_dict(weights)
        generator.eval().requires_grad_(False)
        return TrainedRun(cfg, int(recipe["step"]), image, generator, None, build.build_noise(cfg), ema)
