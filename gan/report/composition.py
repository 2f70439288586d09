"""The configuration as train.py composes it from conf/, to compare runs and published set-ups with."""

import functools
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import gan.config.resolvers  # noqa: F401 - that conf/ calls
from gan.config import CONF


@functools.cache
def compose_settings(*overrides: str) -> dict[str, Any]:
    """The resolved configuration of `python train.py OVERRIDES`.

    Raises HydraException or OmegaConfBaseException where it cannot be composed.
    """
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    tree: Any = OmegaConf.to_container(config, resolve=True)
    return tree
