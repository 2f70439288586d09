"""Classic GANs, to train, evaluate and compare.

`gan.train(...)` trains as train.py does, and `gan.load(folder)` opens a run. Losses, tricks, networks and the step are
in `gan.losses`, `gan.tricks`, `gan.models` and `gan.step`. Nothing is imported before it is used, torch neither.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan.api import Run, load, train

__version__ = "0.2.0"
__all__ = ["ConfigError", "Run", "load", "train"]

NAMES = {"Run": "gan.api", "load": "gan.api", "train": "gan.api", "ConfigError": "gan.config.errors"}
MODULES = {"data", "losses", "metrics", "models", "noise", "optim", "player", "sampling", "step", "training", "tricks"}


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of this package, when it is first used."""
    if name in NAMES:
        return getattr(importlib.import_module(NAMES[name]), name)
    if name in MODULES:
        return importlib.import_module(f"gan.{name}")
    raise AttributeError(f"module 'gan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *NAMES, *MODULES])
