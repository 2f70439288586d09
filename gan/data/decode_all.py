"""Every image of a source, decoded on all cores into one file."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from gan.config.errors import ConfigError, first_line, printable
from gan.config.types import IMAGE_SIZES
from gan.data.decoding import FULL, Decoded, Fit, Kind, Scale, choose_scale, decode_image, open_content
from gan.data.image_cache import ImageWriter
from gan.data.sources import Source, is_transient
from gan.system import files

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_WORKERS = 16  # each may hold an image of LARGE_PIXELS in several forms
CHUNK, PENDING = 16, 64  # images that a worker takes at once; such portions that wait to be written


@dataclass
class Reading:
    """What has been decoded.

    Args:
        names: of the images in the file, in order.
        errors: why each of the others cannot be read.
        deep: index and kind of each image with more than 8 bits.
        ranges: the least and the greatest value of each kind.
        blank: names of those that are hidden by their background.
        colored: the first image with color.
    """

    names: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    deep: dict[int, Kind] = field(default_factory=dict)
    ranges: dict[Kind, Scale] = field(default_factory=dict)
    blank: list[str] = field(default_factory=list)
    colored: str | None = None

    def scales(self, fit: Fit) -> dict[Kind, Scale]:
        """The values that become 0 and 255 in images of more than 8 bits."""
        if fit.max_value is not None:
            return dict.fromkeys(self.ranges, (0.0, float(fit.max_value)))
        return {kind: choose_scale(kind, *values) for kind, values in self.ranges.items()} | dict(fit.scales)

    def add(self, name: str, image: Decoded) -> None:
        """Record an image that comes next in the file."""
        if image.kind:
            low, high = self.ranges.get(image.kind, (image.low, image.high))
            self.ranges[image.kind] = min(low, image.low), max(high, image.high)
            self.deep[len(self.names)] = image.kind
        self.names.append(name)
        self.look(name, image)

    def look(self, name: str, image: Decoded) -> None:
        """Note whether an image has color, or is blank."""
        if image.is_blank:
            self.blank.append(name)
        if self.colored is None and len(image.pixels) == 3:
            self.colored = name

    def notes(self, fit: Fit) -> dict[str, str]:
        """What a user should know about the images: their channels and values, and blank ones."""
        if fit.channels is not None:
            channels = f"dataset.channels={fit.channels}"
        else:
            channels = f"color: {printable(self.colored)} has it" if self.colored else "gray: none of them has color"
        notes = {"channels": channels, "values": self.describe_values(fit)}
        if self.blank:
            notes["blank"] = (
                f"{len(self.blank)} of {len(self.names)} images are blank on dataset.background="
                f"{fit.background}, such as {printable(self.blank[0])}; try dataset.background="
                f"{'black' if fit.background == 'white' else 'white'} or checker"
            )
        return notes

    def describe_values(self, fit: Fit) -> str:
        """Which values become 0 and 255."""
        scales = self.scales(fit)
        parts = [
            f"{kind} values from {low:g} to {high:g}, of which {scales[kind][0]:g} is black and {scales[kind][1]:g} is "
            "white"
            for kind, (low, high) in self.ranges.items()
        ]
        if len(self.deep) < len(self.names):
            white = "" if fit.max_value is None else f", of which {fit.max_value:g} is white"
            parts.append(f"8 bits{white}")
        return "; ".join(parts)


def decode_source(source: Source, names: Sequence[str], fit: Fit, cache: Path, title: str) -> Reading:
    """Write every readable image into `cache`, a NumPy file (N, channels, size, size).

    Images of more than 8 bits are decoded twice, since one scale for all is known after the last: the second time only
    where it is another than was assumed. Raises ConfigError where there is no readable image, or no common size.
    """
    if not fit.size:
        fit = replace(fit, size=common_size(source, names, title), exact=True)
    log.info("decoding %s images, once for all runs", f"{len(names):,}")
    reading = Reading()
    with files.atomic_write(cache) as file:
        writer = ImageWriter(file, fit.size)
        assumed = FULL | dict(fit.scales)
        for name, image in decode(source, names, fit, assumed):
            if isinstance(image, str):
                reading.errors[name] = image
            else:
                reading.add(name, image)
                writer.append(image.pixels)
        scales = reading.scales(fit)
        again = [index for index, kind in reading.deep.items() if scales[kind] != assumed[kind]]
        if again and fit.max_value is None:
            deep = [reading.names[index] for index in again]
            reading.blank = sorted({*reading.blank} - {*deep})  # they may not be, at their own scale
            found = decode(source, deep, fit, scales)
            for index, (name, image) in zip(again, found, strict=True):
                if isinstance(image, str):
                    raise ConfigError(f"{title}: {printable(name)} has changed while it was read: {image}.")
                writer.replace(index, image.pixels)
                reading.look(name, image)
        if not reading.names:
            name, reason = next(iter(reading.errors.items()))
            raise ConfigError(f"none of the {len(names)} images in {title} can be read; {printable(name)}: {reason}.")
        writer.write_header()
    return reading


def common_size(source: Source, names: Sequence[str], title: str) -> int:
    """The side of the first readable image. Raises ConfigError where it is no square, or of no possible size."""
    for name in names:
        try:
            with open_content(source.read(name)) as image:
                width, height = image.size
        except Exception:  # reported when it is decoded
            continue
        if width != height or width not in IMAGE_SIZES:
            raise ConfigError(
                f"dataset.image_size=null: the images in {title} are {width}x{height}; set it to a side from "
                f"{IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]} pixels, such as 32 or 64."
            )
        return width
    return IMAGE_SIZES[0]  # any, where none of them can be read


def decode(
    source: Source, names: Sequence[str], fit: Fit, scales: dict[Kind, Scale]
) -> Iterator[tuple[str, Decoded | str]]:
    """Each name with its image, or why it cannot be read."""
    return in_threads(lambda name: (name, decode_or_reason(source, name, fit, scales)), names)


def in_threads(function: Callable[[str], T], names: Sequence[str]) -> Iterator[T]:
    """What a function that decodes an image returns for each name, in their order, with a bar on a terminal.

    Few wait for the caller, so that decoded images do not pile up in memory, and an interruption takes effect at once.
    """
    is_stopped = threading.Event()

    def decode_chunk(chunk: Sequence[str]) -> list[T]:
        return [function(name) for name in chunk if not is_stopped.is_set()]

    pending: deque[Future[list[T]]] = deque()
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_WORKERS))
    try:
        with tqdm(total=len(names), desc="decoding", unit=" images", unit_scale=True, disable=None) as bar:
            for chunk in [*chunks, None]:
                if chunk is not None:
                    pending.append(pool.submit(decode_chunk, chunk))
                while pending and (chunk is None or len(pending) > PENDING):
                    done = pending.popleft().result()
                    yield from done
                    bar.update(len(done))
    finally:
        is_stopped.set()
        pool.shutdown(cancel_futures=True)


def decode_or_reason(source: Source, name: str, fit: Fit, scales: dict[Kind, Scale]) -> Decoded | str:
    """An image, or why it cannot be read. Raises what is not the image's fault."""
    try:
        return decode_image(source.read(name), fit, name, scales)
    except ConfigError:
        raise
    except Exception as error:  # Pillow raises nearly anything for a broken file
        if is_transient(error):
            raise
        return first_line(error).partition(" <")[0]  # without the memory address that Pillow prints
