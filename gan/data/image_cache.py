"""Decoded images on the disk: an npy file that grows while they are decoded, and a JSON file about it."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gan.config.errors import first_line

VERSION = 4  # of the code that reads images: raise it where the same files give other images, labels or names
ENTRIES = {  # of the JSON file
    "images": int,
    "classes": list,
    "labels": list,
    "missing": str,
    "unreadable": list,
    "skipped": dict,
    "notes": dict,
    "scales": dict,
}
BLOCK = 4096  # images that are copied at once


class ImageWriter:
    """Writes images uint8 (C, size, size) to an open npy file, whose number is known when it is closed.

    It has one channel until the first image with three comes; those before are then repeated.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.channels, self.count = file, size, 1, 0
        self.start = self.write_header()

    def write_header(self) -> int:
        """Write NumPy's header, and return its length: it is padded, so that it has the same for every number."""
        self.file.seek(0)
        shape = (self.count, self.channels, self.size, self.size)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, header)
        return self.file.tell()

    def append(self, pixels: np.ndarray) -> None:
        """Write the next image."""
        if len(pixels) > self.channels:
            self.add_channels()
        self.count += 1
        self.file.write(self.as_bytes(pixels))

    def replace(self, index: int, pixels: np.ndarray) -> None:
        """Write an image in the place of another, once all have been appended."""
        if len(pixels) > self.channels:
            self.add_channels()
        self.file.seek(self.start + index * self.channels * self.size**2)
        self.file.write(self.as_bytes(pixels))

    def as_bytes(self, pixels: np.ndarray) -> bytes:
        return np.broadcast_to(pixels, (self.channels, *pixels.shape[1:])).tobytes()

    def add_channels(self) -> None:
        """Repeat the channel of the images so far, from the last to the first as each takes more place than before."""
        self.channels = 3
        if not self.count:
            return
        shape = (self.count, 1, self.size, self.size)
        self.file.flush()
        os.truncate(self.file.name, self.start + 3 * self.count * self.size**2)
        before = np.memmap(self.file.name, np.uint8, "r", self.start, shape)
        after = np.memmap(self.file.name, np.uint8, "r+", self.start, (self.count, 3, *shape[2:]))
        for start in reversed(range(0, self.count, BLOCK)):
            after[start : start + BLOCK] = before[start : start + BLOCK].copy()
        after.flush()
        self.file.seek(0, os.SEEK_END)


def load(cache: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Decoded images (N, C, H, W), memory-mapped, and what the JSON file beside them says.

    Raises ValueError where they are damaged or of another form, and OSError where they cannot be read.
    """
    about = json.loads(cache.with_suffix(".json").read_text("utf-8"))
    check_about(about)
    try:
        images = np.load(cache, mmap_mode="c")
    except EOFError as error:
        raise ValueError(first_line(error)) from error
    is_array = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
    if not is_array or images.shape[1] not in (1, 3) or len(images) != about["images"]:
        raise ValueError("it has no images, or as many as its JSON file names")
    for path in (cache, cache.with_suffix(".json")):
        with contextlib.suppress(OSError):  # it may belong to somebody else
            os.utime(path)
    return images, about


def check_about(about: Any) -> None:
    """Raise ValueError unless this has the ENTRIES that are written with the images."""
    if not isinstance(about, dict) or any(type(about.get(name)) is not kind for name, kind in ENTRIES.items()):
        raise ValueError("its JSON file is of another form")
    texts = [*about["classes"], *about["unreadable"], *about["notes"].values()]
    numbers = [*about["labels"], *about["skipped"].values()]
    is_pair = (isinstance(scale, list) and [*map(type, scale)] == [float] * 2 for scale in about["scales"].values())
    if {*map(type, texts)} - {str} or {*map(type, numbers)} - {int} or not all(is_pair):
        raise ValueError("its JSON file is of another form")
    labels, count = about["labels"], about["images"]
    if len(labels) not in (0, count) or (labels and not 0 <= min(labels) <= max(labels) < len(about["classes"])):
        raise ValueError("it has images of no class")
