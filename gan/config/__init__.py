"""Settings: their types and ranges, and the checks of a composed configuration."""

from pathlib import Path

CONF = Path(__file__).parent.parent.parent / "conf"
