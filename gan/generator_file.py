"""A generator in a safetensors file: its weights, and in the metadata what it is built from."""

import json
from pathlib import Path

import safetensors.torch
from omegaconf import DictConfig, OmegaConf

from gan import __version__
from gan.config import targets
from gan.config.errors import ConfigError, first_line
from gan.data.image_shape import read_shape
from gan.models.base import Generator
from gan.system import files
from gan.training import build, checkpoint
from gan.training.build import TrainedRun
from gan.tricks.base import Tricks

KEY = "generator"  # in the metadata, with YAML as its value
GROUPS = ("model", "trick", "noise", "seed")  # of the configuration, in that YAML


def to_bytes(run: TrainedRun, generator: Generator) -> bytes:
    """The content of the file: weights and buffers by their names in the generator of a run, and its configuration."""
    state = generator.state_dict()
    weights = {name: tensor.contiguous().clone() for name, tensor in state.items()}  # none may share memory
    recipe = {name: run.cfg[name] for name in GROUPS}
    recipe |= {"image": run.image.record()[:-1], "version": __version__}
    text = OmegaConf.to_yaml(OmegaConf.create(recipe), resolve=True)
    return safetensors.torch.save(weights, {"format": "pt", KEY: text})


def load_generator(path: str | Path, trust: targets.Trust = False) -> Generator:
    """The generator in a file of `sample.py format=safetensors`, on the CPU in eval mode.

    It maps noise float32 (N, noise_dim), and labels int64 (N,) if it is conditional, to images float32 (N, C, H, W) in
    its `pixel_range`. The file may come from a stranger.

    Args:
        trust: true: import code outside this project that the file names.

    Raises OSError where the file cannot be read; ConfigError where it is something else, or names such code.
    """
    try:
        with files.open_file(Path(path)) as file:
            data = file.read()
        weights = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        recipe = checkpoint.parse_config(header["__metadata__"][KEY])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: must be a file of sample.py format=safetensors ({first_line(error)}).") from error
    with checkpoint.compatible_version(Path(path)):
        cfg, image = OmegaConf.create(recipe), read_shape(recipe["image"])
        check_code(cfg, trust)
        generator, discriminator = build.build_networks(cfg, image)
        Tricks(list(build.build_tricks(cfg).values())).modify_networks(generator, discriminator, image)
        generator.load_state_dict(weights)
    return generator.eval().requires_grad_(False)


def check_code(cfg: DictConfig, trust: targets.Trust = False) -> None:
    """Raise ConfigError where what G is built from names code outside this project, which needs `trust`."""
    for group in ("model", "trick"):
        targets.check_tree(group, OmegaConf.to_container(cfg[group], resolve=True), trust)
