"""The settings: types and ranges, checks of a composed configuration, and ConfigError."""

from pathlib import Path

from gan.config import resolvers as resolvers  # registers them, for every configuration that is composed

PACKAGE = Path(__file__).parent.parent
# The configuration files: within the package where it is installed from a wheel, or else beside it.
CONF = next((path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir()), PACKAGE.parent / "conf")
IS_INSTALLED = CONF.parent == PACKAGE  # rather than a copy of the repository, which has train.py and docs/
