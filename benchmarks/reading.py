"""How fast own images are read, and how much memory that takes, each in a new process."""

import multiprocessing
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan.data.decoding import Fit
from gan.data.image_folder import read_images

SIDE, LARGE_SIDE = 32, 8000  # in pixels
COLUMNS = ["images", "images per second", "memory above the start, MiB"]


class Reading(NamedTuple):
    """Images that were read, seconds, and the peak of memory above the start, in bytes."""

    images: int
    seconds: float
    peak: int


def read(folder: Path) -> Reading:
    """Decode the images in a folder."""
    before = memory("VmRSS")
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        images, *_ = read_images(folder, Path(cache), Fit(SIDE))
        seconds = time.perf_counter() - start
    return Reading(len(images), seconds, memory("VmHWM") - before)


def memory(name: str) -> int:
    """Bytes of this process, on Linux: VmRSS is what it has, VmHWM the most that it had."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def measure_reading(count: int) -> list[list[str]]:
    """The rows of a table with COLUMNS, for `count` small images and four large ones."""
    found = {
        f"{count:,} PNGs of {SIDE}x{SIDE}": read_small(count),
        f"four 16-bit PNGs of {LARGE_SIDE}x{LARGE_SIDE}": read_large(4),
    }
    return [
        [name, f"{reading.images / reading.seconds:.3g}", f"{reading.peak / 2**20:.0f}"]
        for name, reading in found.items()
    ]


def read_small(count: int) -> Reading:
    """Read `count` PNGs of 32x32 in color, from ten class folders."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(pixels):
            path = Path(folder, str(number % 10), f"{number}.png")
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(path, compress_level=1)
        return in_new_process(Path(folder))


def read_large(count: int, side: int = LARGE_SIDE) -> Reading:
    """Read `count` gray PNGs of 16 bits with `side` pixels a side."""
    values = np.arange(side, dtype=np.uint16)[None].repeat(side, axis=0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Image.fromarray(values).save(Path(folder, f"{number}.png"), compress_level=1)
        del values
        return in_new_process(Path(folder))


def in_new_process(folder: Path) -> Reading:
    """What `read` returns in a process that has read nothing before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(read, folder).result()
