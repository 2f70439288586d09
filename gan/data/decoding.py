"""From the content of an image file, or an array, to a square of uint8 values."""

import hashlib
import io
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from gan.config.errors import ConfigError, printable
from gan.data.backgrounds import background
from gan.system.images import identify, open_image

Resize = Literal["lanczos", "bilinear", "area", "nearest"]
Crop = Literal["center", "none", "random"]
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
# A JPEG is decoded with at least this many times the side that is needed: what libjpeg leaves out when it shrinks by
# more is not what a filter would leave out. The FID to a full decode is 1.18 at once the side and 0.006 at three times.
OVERSAMPLING = 4
LARGE_PIXELS, LARGE_IMAGE = 2**22, threading.Lock()
DEPTHS = (255, 1023, 4095, 16383, 65535)  # white of whole numbers of 8, 10, 12, 14 and 16 bits
FLOATS = (1.0, 255.0, 65535.0)  # usual whites of floats

Kind = Literal["integer", "float"]
Scale = tuple[float, float]  # the values that become 0 and 255
FULL: dict[Kind, Scale] = {"integer": (0.0, 65535.0), "float": (0.0, 1.0)}


@dataclass(frozen=True)
class Fit:
    """What images are made into.

    Args:
        size: side in pixels.
        channels: 1 or 3; None: 1 for an image without color.
        exact: whether an image of another size is an error, since dataset.image_size was not set.
        max_value: the value that becomes 255 in every image; None: 255 for images of 8 bits, and for those with more
            the scale of the whole dataset.
        scales: of images with more than 8 bits, by their kind of values, where it is not decided from these images.
        background: behind transparent pixels: white, black, checker or a color as in CSS.
    """

    size: int
    channels: int | None = None
    resize: Resize = "lanczos"
    crop: Crop = "center"
    background: str = "white"
    max_value: float | None = None
    exact: bool = False
    scales: tuple[tuple[Kind, Scale], ...] = ()


@dataclass(frozen=True)
class Decoded:
    """An image that has been read.

    Args:
        pixels: uint8 (C, size, size), with one channel where it has no color, unless a number is asked for.
        kind, low, high: of an image with more than 8 bits: its kind of values, the least and the greatest of them.
        is_blank: whether it has one color on its background, and without it had more or was wholly transparent.
    """

    pixels: np.ndarray
    kind: Kind | None = None
    low: float = 0.0
    high: float = 0.0
    is_blank: bool = False


def decode_image(
    content: bytes | np.ndarray, fit: Fit, name: str = "", scales: Mapping[Kind, Scale] = MappingProxyType(FULL)
) -> Decoded:
    """Decode one image. Raises whatever Pillow raises, and ConfigError for one of another size with `fit.exact`."""
    if isinstance(content, np.ndarray):
        with one_at_a_time(content.shape[0] * content.shape[1]):
            if content.dtype in (np.uint8, np.bool_):
                return fit_image(image_of(content), fit, name)
            kind: Kind = "float" if content.dtype.kind == "f" else "integer"
            return fit_planes(planes_of(content), kind, fit, name, scales)
    image = open_image(io.BytesIO(content), size=OVERSAMPLING * fit.size)
    with image, one_at_a_time(image.width * image.height):
        if is_deep_color(content):
            return fit_planes(decode_deep_color(content), "integer", fit, name, scales, opaque=65535)
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode == "F":
            return fit_planes([image], "float", fit, name, scales)
        if image.mode.startswith("I"):
            plane = image if image.mode in ("I", "I;16") else image.convert("I")
            return fit_planes([plane], "integer", fit, name, scales)
        return fit_image(image, fit, name)


def one_at_a_time(pixels: int) -> AbstractContextManager[Any]:
    """Around the decoding of an image: a lock where it is a large one, since many of these do not fit in memory."""
    return LARGE_IMAGE if pixels > LARGE_PIXELS else nullcontext()


def open_content(content: bytes | np.ndarray) -> Image.Image:
    """An image for its size. Raises whatever Pillow raises."""
    if isinstance(content, np.ndarray):
        return Image.new("1", (content.shape[1], content.shape[0]))
    return identify(io.BytesIO(content))


def image_of(array: np.ndarray) -> Image.Image:
    """An image of 8 bits from an array (H, W) or (H, W, C) with 1 to 4 channels; the second or fourth is opacity."""
    values = array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array
    return Image.fromarray(values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values)


def planes_of(array: np.ndarray) -> list[Image.Image]:
    """The channels of an array (H, W) or (H, W, C) with values of more than 8 bits, each as an image."""
    channels = [array] if array.ndim == 2 else [array[:, :, index] for index in range(array.shape[2])]
    fits = array.dtype.kind in "iu" and array.min() >= -(2**31) and array.max() < 2**31
    to = np.uint16 if array.dtype == np.uint16 else np.int32 if fits else np.float32
    return [Image.fromarray(np.ascontiguousarray(channel, to)) for channel in channels]


def is_deep_color(content: bytes) -> bool:
    """Whether a file is a PNG with 16 bits and more than one channel, of which Pillow returns the upper 8 bits."""
    return content.startswith(b"\x89PNG") and content[24:25] == b"\x10" and content[25:26] in (b"\2", b"\4", b"\6")


def decode_deep_color(content: bytes) -> list[Image.Image]:
    """The channels of such a PNG. Raises RuntimeError where it is damaged."""
    import torch
    from torchvision.io import ImageReadMode, decode_png  # takes seconds to import, and few need it

    values = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    return [Image.fromarray(plane) for plane in values.numpy()]


def fit_image(image: Image.Image, fit: Fit, name: str) -> Decoded:
    """An image of 8 bits, as it is needed. It is composed with its background after it is resized, to save memory."""
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if has_alpha:
        image = image.convert("RGBA")
    elif image.mode == "1" or fit.channels == 1:
        image = image.convert("L")
    elif image.mode != "L":
        image = image.convert("RGB")
    image = make_square(image, fit, name)
    is_blank = has_alpha and can_be_hidden(np.asarray(image).transpose(2, 0, 1))
    if has_alpha:
        ground = background(fit.background, fit.size)
        ground.alpha_composite(image)
        image = ground.convert("L" if fit.channels == 1 else "RGB")
    pixels = np.asarray(image).reshape(fit.size, fit.size, -1).transpose(2, 0, 1)
    if fit.max_value is not None:
        pixels = scale_values(pixels, (0.0, fit.max_value))
    return Decoded(with_channels(pixels, fit.channels), is_blank=is_blank and is_uniform(pixels))


def fit_planes(
    planes: Sequence[Image.Image],
    kind: Kind,
    fit: Fit,
    name: str,
    scales: Mapping[Kind, Scale],
    opaque: float | None = None,
) -> Decoded:
    """An image of more than 8 bits, as it is needed, from its channels; the second or fourth is opacity.

    Args:
        opaque: the opacity that hides the background; None: a usual one that this image does not exceed.
    """
    colors = len(planes) - 1 + len(planes) % 2
    extrema = np.array([plane.getextrema() for plane in planes], dtype=np.float64)
    scale = (0.0, fit.max_value) if fit.max_value is not None else scales[kind]
    values = np.stack([np.asarray(make_square(plane, fit, name), dtype=np.float64) for plane in planes])
    if not (np.isfinite(extrema).all() and np.isfinite(values).all()):
        raise ValueError("it has values that are not finite")
    pixels, is_blank = scale_values(values[:colors], scale), False
    if len(planes) > colors:
        opaque = opaque or choose_scale(kind, 0, extrema[-1].max())[1]  # of the file: the filter may exceed it
        opacity = (values[-1:] / opaque).clip(0, 1)
        ground = np.asarray(background(fit.background, fit.size).convert("RGB")).transpose(2, 0, 1)
        pixels = (pixels * opacity + ground * (1 - opacity)).round().astype(np.uint8)
        is_blank = can_be_hidden(values) and is_uniform(pixels)
    if fit.channels == 1 and len(pixels) == 3:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).convert("L"))[None]
    return Decoded(with_channels(pixels, fit.channels), kind, extrema[:colors].min(), extrema[:colors].max(), is_blank)


def is_uniform(pixels: np.ndarray) -> bool:
    """Whether all pixels of an image (C, H, W) are equal."""
    return bool((pixels == pixels[:, :1, :1]).all())


def can_be_hidden(pixels: np.ndarray) -> bool:
    """Whether an image (C, H, W), whose last channel is opacity, has something that a background could hide."""
    return not is_uniform(pixels) or not pixels[-1].any()


def make_square(image: Image.Image, fit: Fit, name: str) -> Image.Image:
    """The image cropped or stretched to a square, and resized."""
    side = (fit.size, fit.size)
    if image.size == side:
        return image
    if fit.exact:
        raise ConfigError(
            f"dataset.image_size=null: {printable(name)} has {image.width}x{image.height} pixels, and others have "
            f"{fit.size}x{fit.size}; set it to a side, such as 32 or 64."
        )
    if fit.crop == "none":
        return image.resize(side, FILTERS[fit.resize])
    center = (0.5, 0.5)
    if fit.crop == "random":  # by the name, so that it is the same whenever the image is read
        digest = hashlib.md5(name.encode("utf-8", "surrogateescape")).digest()
        center = (digest[0] / 255, digest[1] / 255)
    return ImageOps.fit(image, side, FILTERS[fit.resize], centering=center)


def scale_values(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Values as uint8, where those of `scale` become 0 and 255; what is outside is clipped."""
    low, high = scale
    return ((values - low) * (255 / (high - low))).round().clip(0, 255).astype(np.uint8)


def with_channels(pixels: np.ndarray, channels: int | None) -> np.ndarray:
    """Pixels (C, H, W) with `channels`; None: with one where the three are equal, as in gray images stored as color."""
    if channels == 3 and len(pixels) == 1:
        return np.broadcast_to(pixels, (3, *pixels.shape[1:]))
    if channels is None and len(pixels) == 3 and (pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all():
        return pixels[:1]
    return pixels


def choose_scale(kind: Kind, low: float, high: float) -> Scale:
    """The values that become 0 and 255 in a set whose values lie from `low` to `high`: a usual range that has them."""
    whites = DEPTHS if kind == "integer" else FLOATS
    white = float(next((white for white in whites if high <= white), high))
    if low >= 0:
        return 0.0, white
    return (-white if low >= -white else low), white
