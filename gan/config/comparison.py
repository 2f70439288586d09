"""In which settings two configurations differ."""

from collections.abc import Collection
from typing import Any

from gan.config.errors import format_value

# Settings that came after the first checkpoints of today's format, with the value that runs before them had.
ADDED = {"train.accumulate": 1, "trick.conditional.kind": "projection", "trick.conditional.class_weight": 1.0}


def describe_changes(before: Any, after: Any, ignored: Collection[str]) -> list[str]:
    """What changed between two configurations, as `seed was 0 and is now 1`; `ignored` names settings or groups."""
    old, new = comparable(before, ignored), comparable(after, ignored)
    return [
        f"{name} was {format_value(old.get(name))} and is now {format_value(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def comparable(config: Any, ignored: Collection[str]) -> dict[str, Any]:
    """A configuration flattened and without the ignored settings.

    One that is null, or as in all runs before it was added, is as one that is not there.
    """
    return {
        name: value
        for name, value in flatten(config).items()
        if value is not None and ADDED.get(name) != value and name not in ignored and name.split(".")[0] not in ignored
    }


def flatten(config: Any, path: str = "") -> dict[str, Any]:
    """A nested configuration as {"train.batch_size": 64, ...}."""
    if not isinstance(config, dict):
        return {path: config}
    parts = [flatten(value, f"{path}.{name}".lstrip(".")) for name, value in config.items()]
    return {name: value for part in parts for name, value in part.items()}
