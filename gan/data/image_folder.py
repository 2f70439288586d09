"""A folder or a zip of images as one uint8 tensor, decoded once and then read from a cache."""

import errno
import hashlib
import io
import json
import logging
import os
import posixpath
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from gan.config.errors import ConfigError, first_line
from gan.config.types import IMAGE_SIZES
from gan.system import files

log = logging.getLogger(__name__)
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
LARGEST_FILE = 256 * 2**20  # bytes; more than any image, less than a zip bomb
LARGEST_IMAGE = 2**26  # pixels to decode, 8192 a side; a small file can claim to hold any number of them
PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}  # no fault of the image
PROBED = 64  # images that are opened to see what the set is made of


@dataclass(frozen=True)
class Source:
    """Images that can be read by name, with their sizes in bytes. `stamp` changes when the files do."""

    sizes: dict[str, int]
    content: Callable[[str], bytes]
    stamp: str

    def read(self, name: str) -> bytes:
        """A whole file. Raises ValueError for one that is too large, and what else reading raises."""
        if self.sizes[name] > LARGEST_FILE:
            raise ValueError(f"{self.sizes[name]} bytes are too many")
        return self.content(name)


def read(
    path: Path,
    cache_dir: Path,
    size: int | None,
    channels: int | None,
    limit: int | None,
    setting: str = "dataset.path",
) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """Every image below `path`, cut to a square and resized; the first frame of a film.

    The order is shuffled, the same way each time, so that the first `limit` come from all subfolders. Where
    every image lies in a subfolder, the names of these are the classes.

    Args:
        size: side in pixels; None takes the one that the images share.
        channels: 1 or 3; None takes 3 if any of the first images is in colour.
        setting: that named `path`, for what is said of it.

    Returns uint8 (N, C, size, size), mapped from a file in `cache_dir`; int64 labels (N,) or None; the classes' names.
    Raises ConfigError where there is nothing to read, or no size that fits all.
    """
    place = f"{setting}={path}"
    if not path.exists():
        raise ConfigError(f"{place} does not exist; it should be a folder or a zip of images.")
    with ExitStack() as stack:
        source = open_source(path, place, stack)
        names = sorted(source.sizes, key=lambda name: hashlib.md5(name.encode()).digest())[:limit]
        if not names:
            raise ConfigError(f"{place} holds no images; their names should end in {', '.join(sorted(ENDINGS))}.")
        wanted = (size, channels, limit, source.stamp, "with classes")
        cache = cache_dir / f"images-{hashlib.md5(repr(wanted).encode()).hexdigest()[:16]}.npy"
        with files.exclusive(cache):
            if decoded(cache) is None:
                size, channels = probe(source, names[:PROBED], place, size, channels)
                kept, reasons = decode(source, names, size, channels, cache)
                unreadable = list(reasons)
                if not kept:
                    why = f"of {unreadable[0]}: {reasons[unreadable[0]]}"
                    raise ConfigError(f"none of the {len(names)} images in {place} can be read; {why}.")
                # Of all images, whatever the limit: classes keep their numbers.
                classes = folders_of(source.sizes.keys() - set(unreadable))
                about = {"path": str(path), "names": kept, "unreadable": unreadable, "classes": classes}
                files.write_json(described_in(cache), about)
    images, described = decoded(cache)
    if described["unreadable"]:
        some = ", ".join(described["unreadable"][:3])
        log.warning(
            "%d images in %s could not be read and are left out: %s",
            len(described["unreadable"]),
            path,
            some,
        )
    folders = described["classes"]
    numbers = {folder: number for number, folder in enumerate(folders)}
    labels = torch.tensor([numbers[folder_of(name)] for name in described["names"]]) if folders else None
    above = posixpath.commonpath(folders) if folders else ""
    return torch.from_numpy(images), labels, tuple(str(PurePosixPath(folder).relative_to(above)) for folder in folders)


def decoded(cache: Path) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Images (n, channels, size, size) that were decoded before, and what is known of them; None if there are none.

    They stay in their file until they are read.
    """
    try:
        described = json.loads(described_in(cache).read_text("utf-8"))
        return (np.load(cache, mmap_mode="c"), described) if "classes" in described else None
    except (OSError, ValueError, EOFError, TypeError):  # none yet, or damaged
        return None


def described_in(cache: Path) -> Path:
    """Where it is written down what is in `cache`."""
    return cache.with_suffix(".json")


def open_source(path: Path, place: str, stack: ExitStack) -> Source:
    """List the images of a folder or a zip. Raises ConfigError if `path` is neither."""
    if path.is_dir():
        found = [file for file in path.rglob("*") if is_image(file) and file.is_file()]
        stats = {file.relative_to(path).as_posix(): file.stat() for file in found}
        stamp = repr(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()))
        sizes = {name: stat.st_size for name, stat in stats.items()}
        return Source(sizes, lambda name: (path / name).read_bytes(), str(path.resolve()) + stamp)
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (zipfile.BadZipFile, OSError) as error:
        raise ConfigError(f"{place} is neither a folder nor a zip that can be read ({error}).") from error
    members = [item for item in archive.infolist() if is_image(PurePosixPath(item.filename))]
    sizes = {item.filename: item.file_size for item in members}
    stat = path.stat()
    return Source(sizes, archive.read, f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}")


def probe(source: Source, names: list[str], place: str, size: int | None, channels: int | None) -> tuple[int, int]:
    """Settle size and channels from some of the images, where they are not given."""
    modes, sides = set(), Counter()
    for name in names:
        try:
            with Image.open(io.BytesIO(source.read(name))) as image:
                modes.add(image.mode)
                sides[image.size] += 1
        except Exception:  # counted and named when it is decoded
            continue
    if channels is None:
        grey = all(mode[0] in "1LIF" and mode != "LAB" for mode in modes)
        channels = 1 if grey else 3
    if size is None:
        (width, height), _ = sides.most_common(1)[0] if sides else ((0, 0), 0)
        if sides and (len(sides) > 1 or width != height or width not in IMAGE_SIZES):
            raise ConfigError(
                f"the images in {place} are {width}x{height}"
                f"{' and of other sizes' if len(sides) > 1 else ''}: "
                f"set dataset.image_size to a side from {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]} pixels, such as 32 or 64."
            )
        size = width or IMAGE_SIZES[0]
    return size, channels


def decode(source: Source, names: list[str], size: int, channels: int, cache: Path) -> tuple[list[str], dict[str, str]]:
    """Write every readable image into `cache`, as an array (n, channels, size, size).

    Returns the names of those kept, in order, and why each of the others could not be read.
    """

    def attempt(name: str) -> np.ndarray | str:
        try:
            return to_array(source.read(name), size, channels)
        except Exception as error:  # Pillow raises nearly anything for a broken file, and one must not end the rest
            if isinstance(error, OSError) and error.errno in PASSING:
                raise
            return first_line(error).partition(" <")[0]  # without the place in memory that Pillow names

    kept, unreadable = [], {}
    header = {"descr": "|u1", "fortran_order": False}
    with files.atomic_write(cache) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        write_header(file, header, (len(names), channels, size, size))
        # A window at a time, so that images wait on the disk and not in memory.
        for start in tqdm(range(0, len(names), 1024), desc="decoding", unit="k", disable=None):
            window = names[start : start + 1024]
            for name, array in zip(window, pool.map(attempt, window), strict=True):
                if isinstance(array, str):
                    unreadable[name] = array
                else:
                    kept.append(name)
                    file.write(array.tobytes())
        write_header(file, header, (len(kept), channels, size, size))
    return kept, unreadable


def write_header(file: io.BufferedIOBase, header: dict, shape: tuple[int, ...]) -> None:
    """NumPy's own header for `shape`; its length is padded, so that a smaller count fits in later."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, header | {"shape": shape})


def to_array(content: bytes, size: int, channels: int) -> np.ndarray:
    """Decode one image into uint8 (channels, size, size). Raises whatever Pillow raises."""
    with Image.open(io.BytesIO(content)) as opened:
        opened.draft(None, (size, size))  # a JPEG is decoded near the size that is needed
        if opened.width * opened.height > LARGEST_IMAGE:
            raise ValueError(f"{opened.width}x{opened.height} pixels are too many")
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: Pillow would clip them
            values = np.asarray(image, dtype=np.float64)
            top = 65535 if image.mode.startswith("I") else max(float(values.max()), 1.0)
            image = Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (size, size):
            image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
        return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)


def is_image(path: PurePath) -> bool:
    """By its name; what a Mac puts beside each file of a zip is none."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith("._")


def folders_of(names: Iterable[str]) -> list[str]:
    """The folders that the images lie in, two or more; none where some lie in none."""
    folders = sorted({folder_of(name) for name in names})
    return folders if "." not in folders and len(folders) > 1 else []


def folder_of(name: str) -> str:
    return PurePosixPath(name.lstrip("/")).parent.as_posix()  # a zip may hold names that begin with one
