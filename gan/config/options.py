"""The options of the config groups, and the settings of each: what the YAML files in conf/ say before composing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gan.config import CONF
from gan.config.comparison import flatten

MULTIPLE_CHOICE = ("trick", "experiment")  # groups of which more than one option may be chosen
own_folders: list[Path] = []  # of the user's own YAML files, which the command line names


def option_files(group: str) -> dict[str, Path]:
    """The YAML file of each option of one of our groups, by name; the user's own replace those of conf/."""
    folders = [] if group.partition("/")[0] in ("", "hydra") else [folder / group for folder in (CONF, *own_folders)]
    found = {
        path.relative_to(folder).with_suffix("").as_posix(): path for folder in folders for path in yaml_in(folder)
    }
    return dict(sorted(found.items()))


def matching_options(group: str, pattern: str) -> list[str]:
    """The options of a group whose names match a pattern, such as `blog/*`; `*` does not match a folder."""
    folders = [folder / group for folder in (CONF, *own_folders)]
    found = {path.relative_to(folder) for folder in folders for path in folder.glob(f"{pattern}.yaml")}
    return sorted(path.with_suffix("").as_posix() for path in found)


def yaml_in(folder: Path) -> Iterable[Path]:
    return folder.rglob("*.yaml") if folder.is_dir() else []


def read_option(group: str, name: str) -> dict[str, Any]:
    """The settings in the file of an option, such as {"dataset": {"limit": None}}. References stay as they are."""
    path = option_files(group)[name]
    tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return tree if "@package _global_" in path.read_text("utf-8") else {group: tree}


def option_settings(group: str, name: str) -> list[str]:
    """The settings of its own group that an option brings, such as `dataset.limit`."""
    return [setting for setting in flatten(read_option(group, name)) if setting.startswith(f"{group}.")]


def default_settings(program: str) -> dict[str, Any]:
    """The settings of a program with the default options, as far as the YAML files in conf/ say so."""
    tree: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{program}.yaml"), resolve=False)
    for entry in tree.pop("defaults"):
        for group, name in entry.items() if isinstance(entry, dict) else ():
            if isinstance(name, str) and name in option_files(group):
                tree |= read_option(group, name)
    return tree
