"""What was probably meant by a setting or an option that does not exist, as it is typed in a shell."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from gan.config import CONF
from gan.config.comparison import flatten
from gan.config.errors import shell_words
from gan.config.options import MULTIPLE_CHOICE, option_files, option_settings

LIMIT = 3  # suggestions for one mistake
CLOSE = 0.6  # similarity of two names, as in difflib.get_close_matches
WORD = 0.75  # of a name and one that has it as a word, as `ema` and `ema_decay`
MARGIN = 0.1  # names that are less similar than the best by more than this are left out
# Names in other repositories that are not spelled like ours, by the setting or the option that they stand for.
NAMES_ELSEWHERE = {
    "class": "label",
    "dataset=image_folder": "celeba ffhq lsun",
    "dataset.path": "dataroot folder root",
    "device=cuda": "cuda gpu gpus",
    "hydra.run.dir": "log_dir logdir out_dir outdir output_dir save_dir",
    "init_from": "checkpoint_path finetune pretrained warm_start",
    "loss=least_squares": "lsgan",
    "loss=nonsaturating": "bce vanilla",
    "loss=wasserstein": "wgan",
    "model.discriminator.width": "ndf",
    "model.generator.width": "ngf",
    "n": "n_images num num_images num_samples",
    "noise.dim": "latent_dim nz z_dim",
    "optim.discriminator.lr": "d_lr lr_d",
    "optim.generator.betas=[0.5,0.999]": "beta1",
    "optim.generator.lr": "g_lr learning_rate lr_g",
    "precision=bf16": "amp fp16",
    "threads": "num_workers workers",
    "train.accumulate": "accumulation_steps grad_accum gradient_accumulation_steps",
    "train.discriminator_steps": "critic_iters n_critic",
    "train.epochs": "niter",
    "train.max_steps": "iterations",
    "train.weight_clip": "clip_value",
    "watch.log_every": "log_interval print_freq",
}
SPECIAL = ("points", "linear")  # options for points in the plane, suggested only where no other has the setting
SYNONYMS = {name: ours for ours, names in NAMES_ELSEWHERE.items() for name in names.split()}


def nearest_settings(typed: str, value: str, settings: Mapping[str, Any]) -> list[str]:
    """Up to three words or pairs of words in place of `typed=value`, the most likely first.

    A setting of an option that is not chosen comes with that choice: `dataset=image_folder dataset.path=X`.

    Args:
        value: as it was typed.
        settings: the composed configuration, or the defaults.
    """
    name = normalize(typed)
    known = known_settings(settings, name.startswith("hydra"))
    trick = name.removeprefix("trick.")
    if "trick" in settings and trick in option_files("trick"):  # r1=true
        return [shell_words(choose("trick", trick, settings))]
    synonym = SYNONYMS.get(last(name), "")
    if synonym.partition("=")[0] in known:
        if "=" in synonym:
            return [shell_words(synonym)]
        name = synonym
    found = matches(name, known)
    return [shell_words(*choice, assign(setting, value)) for setting, choice in found.items()][:LIMIT]


def known_settings(settings: Mapping[str, Any], has_hydra: bool) -> dict[str, list[str]]:
    """Each setting and group, with the choice of an option that it needs, in the order of the configuration."""
    shown = {name: child for name, child in settings.items() if has_hydra or name != "hydra"}
    groups = [name for name in shown if option_files(name)]
    known: dict[str, list[str]] = {name: [] for name in (*flatten(shown), *groups)}
    if groups:  # train.py's
        known["hydra.run.dir"] = []
    for group in groups:
        for option in sorted(option_files(group), key=lambda option: (option in SPECIAL, len(option))):
            for setting in option_settings(group, option):
                known.setdefault(setting, [choose(group, option, settings)])
    return {name: choice for name, choice in known.items() if not last(name).startswith("_")}


def matches(name: str, known: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The entries of `known` whose settings are nearest to a name: with the same end, or else with a similar one."""
    parent = name.rpartition(".")[0]
    siblings = [setting for setting in known if parent and setting.rpartition(".")[0] == parent]
    nearer = (
        [setting for setting in known if setting == name],
        most_similar(last(name), siblings),
        [setting for setting in known if setting.endswith(f".{name}")],
        [setting for setting in known if last(setting) == last(name)],
    )
    found = next(filter(None, nearer), None) or most_similar(last(name), known)
    available = [setting for setting in found if not known[setting]]
    best_first = sorted(available or found, key=lambda setting: -round(similarity(setting, name), 1))
    return {setting: known[setting] for setting in best_first}


def nearest_options(group: str, name: str, typed: str, names: Sequence[str]) -> list[str]:
    """Up to three overrides in place of the one that was typed, which names an option that a group does not have.

    It may be one of another group, or have lost its folder: `experiment=mlp` is `experiment=blog/mlp`.

    Args:
        names: the options of the group.
    """
    wanted = last(normalize(name).strip("/").removesuffix(".yaml").replace("/", "."))
    if group in MULTIPLE_CHOICE and wanted in ("none", "null"):
        return [shell_words(f"{group}=[]")]
    near = [option for option in names if option.rpartition("/")[2] == wanted]
    if not near and SYNONYMS.get(wanted, "").startswith(f"{group}="):
        near = [SYNONYMS[wanted].partition("=")[2]]
    if not near:
        others = sorted(folder.name for folder in CONF.iterdir() if folder.name not in (group, "experiment"))
        elsewhere = [choose(other, wanted, {}) for other in others if wanted in option_files(other)]
        if elsewhere:
            return [shell_words(choice) for choice in elsewhere][:LIMIT]
        near = most_similar(wanted, names)
    key, _, value = typed.partition("=")
    whole = rf"(?<![\w/.-]){re.escape(name)}(?![\w/.-])"
    return [shell_words(f"{key}={re.sub(whole, option, value)}") for option in near][:LIMIT]


def most_similar(name: str, known: Iterable[str]) -> list[str]:
    """Those of `known` whose last part is spelled like a name, the most similar first."""
    similar = {other: similarity(last(other.replace("/", ".")), name) for other in known}
    least = max(CLOSE, max(similar.values(), default=0) - MARGIN)
    return sorted((other for other in similar if similar[other] >= least), key=lambda other: -similar[other])


def assign(setting: str, value: str) -> str:
    """`setting=value`; for a group, with the nearest of its options."""
    if not option_files(setting) or value in option_files(setting):
        return f"{setting}={value}"
    return next(
        iter(nearest_options(setting, value, f"{setting}={value}", list(option_files(setting)))), f"{setting}=NAME"
    )


def choose(group: str, option: str, settings: Mapping[str, Any]) -> str:
    """The override that chooses an option, beside the tricks that are chosen."""
    if group not in MULTIPLE_CHOICE:
        return f"{group}={option}"
    return f"{group}=[{','.join(dict.fromkeys([*(settings.get(group) or ()), option]))}]"


def normalize(name: str) -> str:
    return name.lower().replace("-", "_")


def last(setting: str) -> str:
    return setting.rpartition(".")[2]


def similarity(one: str, other: str) -> float:
    is_word = other in one.split("_")
    return max(SequenceMatcher(None, one, other).ratio(), WORD if is_word else 0)
