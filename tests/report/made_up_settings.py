"""Settings for made-up runs, composed from conf/ as Hydra does."""

import functools
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

ROOT = Path(__file__).parents[2]


def composed(folder: Path, overrides: list[str], search: dict[str, str] | None) -> tuple[DictConfig, DictConfig]:
    """The settings of a run and Hydra's own, as in .hydra/config.yaml and .hydra/hydra.yaml.

    Args:
        search: the values that each setting may have, for a trial of a search.
    """
    groups = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()}
    chosen = [line for line in overrides if line.partition("=")[0] in groups]
    cfg = compose_groups(*chosen).copy()
    hydra = OmegaConf.create({"hydra": cfg.hydra})
    with open_dict(cfg):
        del cfg["hydra"]
    for override in OverridesParser.create().parse_overrides([line for line in overrides if line not in chosen]):
        OmegaConf.update(cfg, override.key_or_group, override.value())
    with open_dict(hydra):
        hydra.hydra.overrides.task = overrides
        hydra.hydra.runtime.output_dir = str(folder)
        hydra.hydra.sweep.dir = str(folder.parent)
        hydra.hydra.mode = "MULTIRUN" if search else "RUN"
        if search:
            hydra.hydra.sweeper.params = search
    return cfg, hydra


def write_multirun(folder: Path, overrides: list[str]) -> None:
    """Write multirun.yaml, in which Hydra keeps what was typed for a sweep."""
    _, hydra = composed(folder / "run", [], None)
    with open_dict(hydra):
        hydra.hydra.overrides.task = overrides
    (folder / "multirun.yaml").write_text(OmegaConf.to_yaml(hydra), "utf-8")


@functools.cache
def compose_groups(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)
