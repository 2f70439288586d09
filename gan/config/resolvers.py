"""Functions that conf/ calls as `${name:...}`, besides those of OmegaConf."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

GRADIENT_PENALTIES = "gan.tricks.gradient_penalty."  # the module of their classes


def norm_for_tricks(norm: str, tricks: Mapping[str, Any]) -> str:
    """`norm` for a discriminator, or `none` beside a gradient penalty, which is defined for each image alone."""
    targets = [str(node.get("_target_")) for node in tricks.values() if isinstance(node, Mapping)]
    return "none" if any(target.startswith(GRADIENT_PENALTIES) for target in targets) else norm


OmegaConf.register_new_resolver("norm_for_tricks", norm_for_tricks, replace=True)
