"""Names of run folders, which list overrides: of a single run, and of a job of a sweep."""

import re
import zlib
from collections.abc import Collection, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from gan.cli.overrides import NO_EPOCHS, OPERATIONAL, group_options

PLAIN_OVERRIDE = r"[\w.-]+(=\[?[\w.-]+([,/][\w.-]+)*\]?)?"  # one without special characters
NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
MAX_RUN_LENGTH = 80  # of the part of a run folder's name that `folder_name` makes
MAX_JOB_LENGTH = 120  # of the name of a job's folder


def folder_name(overrides: list[str]) -> str:
    """A command line as part of a folder's name: `model=mlp train.epochs=1` becomes `model-mlp_train.epochs-1`.

    Operational settings are left out. A name that was cut, or whose overrides have special characters, ends with a
    checksum, so that no two runs share a folder.
    """
    named = [each for each in overrides if each.partition("=")[0] not in OPERATIONAL and each != NO_EPOCHS]
    name = "_".join(re.sub(r"[^\w.-]+", "-", override).strip("-_") for override in named) or "default"
    if len(name) <= MAX_RUN_LENGTH and all(re.fullmatch(PLAIN_OVERRIDE, override) for override in named):
        return name
    return f"{name[: MAX_RUN_LENGTH - 9]}_{zlib.crc32(' '.join(named).encode()):08x}"


OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)


def job_name(overrides: Sequence[str], swept: Collection[str], suffix: str = "") -> str:
    """The name of a job's folder, such as `model-mlp_optim-adam`: what was swept.

    Where nothing was, it lists the chosen options, or else all overrides. Two jobs may have one name, if their values
    differ in special characters only: `suffix` tells them apart. Values are cut only where the name would have more
    than MAX_JOB_LENGTH characters.
    """
    parsed = OverridesParser.create().parse_overrides([each for each in overrides if each != NO_EPOCHS])
    typed = [each for each in parsed if each.key_or_group not in OPERATIONAL and not each.is_hydra_override()]
    named = [each for each in parsed if each.key_or_group in swept]
    named = named or [each for each in typed if group_options(each.key_or_group)] or typed
    parts = [f"{each.key_or_group}-{value_text(each.value())}" for each in named] or ["default"]
    parts = [re.sub(r"[^\w.+-]", "-", part, flags=re.ASCII) for part in parts]
    limit = MAX_JOB_LENGTH - len(suffix)
    shortened = ("_".join(part[:length] for part in parts) for length in range(limit, 0, -1))
    return next((name for name in shortened if len(name) <= limit), "_".join(parts)[:limit]) + suffix


def value_text(value: Any) -> str:
    """A value in a name: `r1+r2` for a list, `none` for an empty one."""
    if isinstance(value, list):
        return "+".join(map(value_text, value)) or "none"
    return value if isinstance(value, str) else Override._get_value_element_as_str(value).lower()


def sort_key(text: object) -> list[tuple[int, float, str]]:
    """A key for names and values of settings: numbers by value, and before other text, in which they count too.

    So 1e-3 comes before 9, 9 before 10, 10 before mlp, and seed-9 before seed-10.
    """
    if re.fullmatch(f"[+-]?{NUMBER}", str(text)):
        return [(0, float(str(text)), "")]
    parts = re.split(f"({NUMBER})", str(text))  # text and numbers in turn
    return [(1, float(part) if number % 2 else 0.0, part) for number, part in enumerate(parts)]


def short_value(text: str) -> str:
    """A value of a setting with at most four significant digits if it is a number with more."""
    try:
        return f"{float(text):.4g}" if len(text) > len(f"{float(text):.4g}") else text
    except ValueError:
        return text
