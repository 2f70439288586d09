"""The settings: types and ranges, checks of a composed configuration, and ConfigError."""

from pathlib import Path

CONF = Path(__file__).parent.parent.parent / "conf"
