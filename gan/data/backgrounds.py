"""What is put behind transparent pixels."""

import numpy as np
from PIL import Image, ImageColor

from gan.config.errors import invalid_value

CHECKER = (255, 204), 8  # its two grays, and its fields in a row


def background(name: str, size: int) -> Image.Image:
    """An opaque image (RGBA) to put behind transparent pixels."""
    if name != "checker":
        return Image.new("RGBA", (size, size), (*ImageColor.getrgb(name)[:3], 255))
    (light, dark), fields = CHECKER
    rows = np.arange(size) * fields // size
    values = np.where((rows[:, None] + rows) % 2, dark, light).astype(np.uint8)
    return Image.fromarray(values).convert("RGBA")


def check_background(name: str) -> None:
    """Raise ConfigError unless it is a background."""
    try:
        background(name, 8)
    except ValueError as error:
        raise invalid_value("dataset.background", name, "white, black, checker or a color such as '#ff8800'") from error
