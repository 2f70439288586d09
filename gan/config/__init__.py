"""The settings: types and ranges, checks of a composed configuration, and ConfigError."""

from pathlib import Path

from gan.config import resolvers as resolvers  # registers them, for every configuration that is composed

CONF = Path(__file__).parent.parent.parent / "conf"
