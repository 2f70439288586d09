"""Image files: which formats are opened, with how many pixels, and the sample grids of a run. Imports no torch."""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from gan.config.errors import first_line
from gan.system import files

# Only these: other formats of Pillow start programs (EPS: Ghostscript) or have seen little testing.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM")
MAX_PIXELS = 2**26  # 8192x8192: a small file can claim any size
MAX_PNG_BYTES = 2**26  # of a sample grid in a report
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `open_image` raises an error before


@functools.cache
def available_formats() -> tuple[str, ...]:
    """FORMATS without those that this version of Pillow does not know."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def may_be_image(start: bytes) -> bool:
    """Whether a file of one of FORMATS begins like this; others may too, such as a text that begins with `BM`."""
    return any(
        accept is None or accept(start) is True for _, accept in map(Image.OPEN.__getitem__, available_formats())
    )


def identify(file: BinaryIO, formats: Sequence[str] | None = None) -> Image.Image:
    """The image in a file in one of `formats`, or else of FORMATS, for its header: it may be too large to decode."""
    return Image.open(file, formats=tuple(formats or available_formats()))


def open_image(file: BinaryIO, formats: Sequence[str] | None = None, size: int | None = None) -> Image.Image:
    """What `identify` returns, to be decoded. Nothing is decoded yet.

    Raises ValueError for more than MAX_PIXELS to decode, and nearly anything for a damaged file, as Pillow does.

    Args:
        size: side in pixels at about which it is needed: a JPEG is decoded with as few pixels as that takes.
    """
    image = identify(file, formats)
    if size:
        image.draft(None, (size, size))
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels are too many")
    return image


@contextlib.contextmanager
def damage() -> Iterator[None]:
    """Around the reading of an image: raises OSError, or ValueError for whatever else a damaged file leads to."""
    try:
        yield
    except UnidentifiedImageError as error:  # whose message has a memory address
        raise ValueError("no image of a known format") from error
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(first_line(error)) from error


def read_image(path: Path) -> Image.Image:
    """The image in a file, of an animation the first frame. Raises OSError or ValueError where there is none."""
    with damage(), files.open_file(path) as file, open_image(file) as image:
        return image.copy()


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of the image in a file. Raises what `read_image` raises."""
    with damage(), files.open_file(path) as file, open_image(file) as image:
        return image.size


def read_png(path: Path) -> bytes:
    """The content of a file that is a whole PNG. Raises OSError or ValueError where it is something else."""
    content = files.read_bytes(path, MAX_PNG_BYTES)
    with damage(), open_image(io.BytesIO(content), ["PNG"]) as image:
        image.verify()
    return content
