"""A folder or zip of images as one uint8 tensor, decoded once and then read from a cache."""

import errno
import hashlib
import io
import json
import logging
import os
import posixpath
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from gan.config.errors import ConfigError, first_line
from gan.config.types import IMAGE_SIZES
from gan.system import files, locks
from gan.system.images import identify, open_image

log = logging.getLogger(__name__)
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif"}
MAX_FILE_BYTES = 256 * 2**20  # more than any image has, and less than a zip bomb
TRANSIENT_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}  # not the image's fault
LARGE_PIXELS, LARGE_IMAGE = 2**22, threading.Lock()  # larger ones are decoded one at a time, to save memory
INSPECTED = 64  # images that are opened to find the size and channels of the dataset


@dataclass(frozen=True)
class Source:
    """The image files of a folder or zip.

    Args:
        name: as the user typed it, `dataset.path=...`, for error messages.
        sizes: each file's name and size in bytes.
        read_bytes: returns a file's content by name.
        stamp: changes when the files change.
        others: number of the other files, by the ending of their names; hidden ones do not count.
    """

    name: str
    sizes: dict[str, int]
    read_bytes: Callable[[str], bytes]
    stamp: str
    others: Counter[str]

    def read(self, name: str) -> bytes:
        """A file's content. Raises ValueError for one that is too large, and whatever reading raises."""
        if self.sizes[name] > MAX_FILE_BYTES:
            raise ValueError(f"{self.sizes[name]} bytes are too many")
        return self.read_bytes(name)


def read_images(
    path: Path,
    cache_dir: Path,
    size: int | None,
    channels: int | None,
    limit: int | None,
    resize: str = "lanczos",
    setting: str = "dataset.path",
) -> tuple[Tensor, Tensor | None, tuple[str, ...], dict[str, int]]:
    """Every image below `path`, cropped to a square and resized; of an animation the first frame.

    The order is shuffled, the same way each time, so that the first `limit` come from all subfolders. Where all
    images are in subfolders, two or more, these are the classes.

    Args:
        size: side in pixels; None: the side that all images share.
        channels: 1 or 3; None: 3 if any of the first images is in color.
        resize: Pillow's filter, `lanczos` or `bilinear`.
        setting: the setting that named `path`, for error messages.

    Returns uint8 images (N, C, size, size), memory-mapped from a file in `cache_dir`; int64 labels (N,) or None; the
    class names; and how many files were skipped, by what they are. Raises ConfigError where there are no readable
    images, or no common size.
    """
    with open_source(path, f"{setting}={path}") as source:
        names = sorted(source.sizes, key=lambda name: hashlib.md5(name.encode()).digest())[:limit]
        if not names:
            raise ConfigError(f"{source.name} has no images; their names end in {', '.join(sorted(EXTENSIONS))}.")
        key = (size, channels, limit, resize, source.stamp, "with classes")
        cache = cache_dir / f"images-{hashlib.md5(repr(key).encode()).hexdigest()[:16]}.npy"
        with locks.exclusive(cache):
            try:
                images, contents = load_cache(cache)
            except (FileNotFoundError, ValueError) as error:  # one that cannot be read is no reason to replace it
                if isinstance(error, ValueError):
                    log.warning("%s: %s; the images are decoded again", cache, first_line(error))
                fill_cache(cache, source, names, size, channels, resize)
                images, contents = load_cache(cache)
    if unreadable := contents["unreadable"]:
        log.warning("left out %d unreadable images of %s: %s", len(unreadable), path, ", ".join(unreadable[:3]))
    skipped = dict(source.others.most_common())
    skipped |= {"unreadable": len(unreadable)} if unreadable else {}
    folders = contents["classes"]
    if not folders:
        return torch.from_numpy(images), None, (), skipped
    class_index = {folder: index for index, folder in enumerate(folders)}
    labels = torch.tensor([class_index[folder_of(name)] for name in contents["names"]])
    common = posixpath.commonpath(folders)
    class_names = tuple(str(PurePosixPath(folder).relative_to(common)) for folder in folders)
    return torch.from_numpy(images), labels, class_names, skipped


def load_cache(cache: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Decoded images (N, C, H, W), memory-mapped, and the content of the JSON file beside them.

    Raises ValueError where they are damaged or of another form, and OSError where they cannot be read.
    """
    contents = json.loads(cache.with_suffix(".json").read_text("utf-8"))
    lists = [contents.get(name) for name in ("names", "unreadable", "classes")] if isinstance(contents, dict) else []
    if not lists or any(not isinstance(texts, list) or {*map(type, texts)} - {str} for texts in lists):
        raise ValueError("its JSON file is of another form")
    if contents["classes"] and not {*map(folder_of, contents["names"])} <= {*contents["classes"]}:
        raise ValueError("it has images of no class")
    try:
        images = np.load(cache, mmap_mode="c")
    except EOFError as error:
        raise ValueError(first_line(error)) from error
    is_array = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
    if not is_array or len(images) != len(contents["names"]) or images.shape[1] not in (1, 3):
        raise ValueError("it has no images, or as many as its JSON file names")
    return images, contents


def fill_cache(
    cache: Path, source: Source, names: list[str], size: int | None, channels: int | None, resize: str
) -> None:
    """Decode the images `names` into `cache`. Raises ConfigError where there are no readable ones, or no common size.

    A JSON file beside it lists them, those that cannot be read, and the folders that are classes.
    """
    size, channels = inspect_images(source, names[:INSPECTED], size, channels)
    decoded, errors = decode_images(source, names, size, channels, resize, cache)
    if not decoded:
        name, reason = next(iter(errors.items()))
        raise ConfigError(f"none of the {len(names)} images in {source.name} can be read; {name}: {reason}.")
    # Of all images, whatever dataset.limit, so that a class keeps its index.
    classes = class_folders(source.sizes.keys() - errors.keys())
    contents = {"source": source.name, "names": decoded, "unreadable": list(errors), "classes": classes}
    files.write_json(cache.with_suffix(".json"), contents)


@contextmanager
def open_source(path: Path, name: str) -> Iterator[Source]:
    """List the images of a folder or zip, which stays open in this context. Raises ConfigError if `path` is neither."""
    if not path.exists():
        raise ConfigError(f"{name} does not exist; it should be a folder or a zip of images.")
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.is_file()]
        paths = [file for file in found if is_image(file)]
        stats = {file.relative_to(path).as_posix(): file.stat() for file in paths}
        stamp = repr(sorted((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats.items()))
        sizes = {file: stat.st_size for file, stat in stats.items()}
        yield Source(
            name, sizes, lambda file: (path / file).read_bytes(), str(path.resolve()) + stamp, count_others(found)
        )
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ConfigError(f"{name} is neither a folder nor a readable zip ({error}).") from error
    with archive:
        entries = [PurePosixPath(member.filename) for member in archive.infolist() if not member.is_dir()]
        members = [member for member in archive.infolist() if is_image(PurePosixPath(member.filename))]
        sizes = {member.filename: member.file_size for member in members}
        stat = path.stat()
        stamp = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        yield Source(name, sizes, archive.read, stamp, count_others(entries))


def inspect_images(source: Source, names: list[str], size: int | None, channels: int | None) -> tuple[int, int]:
    """Size and channels, from the headers of the images `names` where they are None."""
    modes: set[str] = set()
    sizes: Counter[tuple[int, int]] = Counter()
    for name in names:
        try:
            with identify(io.BytesIO(source.read(name))) as image:
                modes.add(image.mode)
                sizes[image.size] += 1
        except Exception:  # reported when it is decoded
            continue
    if channels is None:
        channels = 1 if all(mode[0] in "1LIF" and mode != "LAB" for mode in modes) else 3
    if size is None and sizes:
        (width, height), _ = sizes.most_common(1)[0]
        if len(sizes) > 1 or width != height or width not in IMAGE_SIZES:
            raise ConfigError(
                f"dataset.image_size=null: the images in {source.name} are {width}x{height}"
                f"{' and other sizes' if len(sizes) > 1 else ''}; set it to a side from {IMAGE_SIZES[0]} to "
                f"{IMAGE_SIZES[-1]} pixels, such as 32 or 64."
            )
        size = width
    return size or IMAGE_SIZES[0], channels  # any size where none of them can be read


def decode_images(
    source: Source, names: list[str], size: int, channels: int, resize: str, cache: Path
) -> tuple[list[str], dict[str, str]]:
    """Write every readable image into `cache`, a NumPy file (N, channels, size, size).

    Returns the names of the images in the file, in order, and for each of the others why it cannot be read.
    """

    def decode(name: str) -> np.ndarray | str:
        try:
            return decode_image(source.read(name), size, channels, resize)
        except Exception as error:  # Pillow raises nearly anything for a broken file
            if isinstance(error, OSError) and error.errno in TRANSIENT_ERRORS:
                raise
            return first_line(error).partition(" <")[0]  # without the memory address that Pillow prints

    log.info("decoding %s images, once for all runs", f"{len(names):,}")
    decoded: list[str] = []
    errors: dict[str, str] = {}
    with files.atomic_write(cache) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        write_npy_header(file, (len(names), channels, size, size))
        # In windows, so that the decoded images go to the disk and do not pile up in memory.
        for start in tqdm(range(0, len(names), 1024), desc="decoding", unit="k", disable=None):
            window = names[start : start + 1024]
            for name, result in zip(window, pool.map(decode, window), strict=True):
                if isinstance(result, str):
                    errors[name] = result
                else:
                    decoded.append(name)
                    file.write(result.tobytes())
        write_npy_header(file, (len(decoded), channels, size, size))
    return decoded, errors


def write_npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """NumPy's header for a uint8 array. It is padded, so that a smaller count fits in later."""
    file.seek(0)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def decode_image(content: bytes, size: int, channels: int, resize: str = "lanczos") -> np.ndarray:
    """Decode one image into uint8 (channels, size, size). Raises whatever Pillow raises."""
    image = open_image(io.BytesIO(content), size=size)
    with image, LARGE_IMAGE if image.width * image.height > LARGE_PIXELS else nullcontext():
        return fit_image(image, size, channels, resize)


def fit_image(opened: Image.Image, size: int, channels: int, resize: str) -> np.ndarray:
    """Decode an opened image into uint8 (channels, size, size)."""
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more, which Pillow would clip
        values = np.array(image, dtype=np.float64)
        white = 65535 if image.mode.startswith("I") else max(float(values.max()), 1.0)
        values /= white  # in place, as the array may have half a gigabyte
        values *= 255
        image = Image.fromarray(values.clip(0, 255, out=values).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling[resize.upper()])
    return np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1)


def is_image(path: PurePath) -> bool:
    """Whether a file is an image, by its name. macOS puts a file `._NAME` into a zip for each NAME, which is none."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith("._")


def count_others(paths: Iterable[PurePath]) -> Counter[str]:
    """How many files are no images, by the ending of their names. Hidden ones do not count."""
    others = (path for path in paths if not is_image(path) and not path.name.startswith("."))
    return Counter(path.suffix.lower() or "without ending" for path in others)


def class_folders(names: Iterable[str]) -> list[str]:
    """The folders of these files where they are classes: two or more, and no file outside them."""
    folders = sorted({folder_of(name) for name in names})
    return folders if "." not in folders and len(folders) > 1 else []


def folder_of(name: str) -> str:
    return PurePosixPath(name.lstrip("/")).parent.as_posix()  # a name in a zip may start with a slash
