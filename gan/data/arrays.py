"""Arrays as data sets: an npy file of images, or an npz with `images` and `labels`. Pickles are never loaded."""

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gan.config.errors import ConfigError, first_line, printable
from gan.data.archives import unpack
from gan.data.sources import MAX_FILE_BYTES, Source
from gan.system.images import damage

MAGIC = b"\x93NUMPY"
IMAGES, LABELS, CLASS_NAMES = "images", "labels", "class_names"  # of an npz, as sample.py writes it
FORM = "(N, H, W) or (N, H, W, C) with C from 1 to 4"


def is_array(path: Path) -> bool:
    """Whether a file is an npy, or an npz: a zip that has nothing but npy files."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            return True
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


@contextlib.contextmanager
def open_array(path: Path, title: str, folder: Path) -> Iterator[Source]:
    """The images of an npy or npz, which stays open in this context. Raises ConfigError where it has none.

    Args:
        title: the setting that names it, for error messages.
        folder: for the images of an npz, which are unpacked there while they are read.
    """
    labels: list[str] | None = None
    class_names: tuple[str, ...] = ()
    with contextlib.ExitStack() as stack:
        try:
            if zipfile.is_zipfile(path):
                archive = stack.enter_context(zipfile.ZipFile(path))
                name = images_member(archive, title)
                with damage():  # it may be encrypted, or compressed in an unknown way
                    member = archive.open(name)
                images = map_array(stack.enter_context(unpack(member, folder, title)))
                check_images(images, f"{title}: {printable(name)}")
                labels, class_names = read_labels(archive, len(images), title)
            else:
                images = map_array(stack.enter_context(path.open("rb")))
                check_images(images, title)
        except (ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{title} cannot be read as an array: {first_line(error)}.") from error
        yield Source(
            [str(index) for index in range(len(images))],
            lambda name: np.asarray(images[int(name)]),
            lambda name: b"",
            is_array=True,
            labels=labels,
            class_names=class_names,
        )


def images_member(archive: zipfile.ZipFile, title: str) -> str:
    """The name of an npz's file of images: `images.npy`, or the only one. Raises ConfigError."""
    names = archive.namelist()
    if f"{IMAGES}.npy" in names:
        return f"{IMAGES}.npy"
    if len(names) == 1:
        return names[0]
    found = ", ".join(printable(name.removesuffix(".npy")) for name in names)
    raise ConfigError(f"{title} has the arrays {found}; must have {IMAGES}, and {LABELS} where there are classes.")


def map_array(file: BinaryIO) -> np.ndarray:
    """The array of an open npy file, memory-mapped. Raises ValueError where it is damaged, or needs a pickle."""
    with damage():
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(file)
        if dtype.hasobject or dtype.kind not in "buif":
            raise ValueError(f"its values are {dtype}, and must be numbers")
        if min(shape, default=1) < 1:
            raise ValueError("it is empty")
        if file.tell() + dtype.itemsize * math.prod(shape) > os.fstat(file.fileno()).st_size:
            raise ValueError("its end is missing")
        return np.memmap(file, dtype, "r", file.tell(), shape, "F" if in_columns else "C")


def check_images(images: np.ndarray, title: str) -> None:
    """Raise ConfigError for an array that is none of images."""
    if images.ndim == 3 or (images.ndim == 4 and images.shape[3] <= 4):
        return
    hint = "; move the channels to the end" if images.ndim == 4 and images.shape[1] <= 4 else ""
    raise ConfigError(f"{title} has the shape {images.shape}: must be {FORM}{hint}.")


def read_labels(archive: zipfile.ZipFile, count: int, title: str) -> tuple[list[str] | None, tuple[str, ...]]:
    """The labels of an npz as texts, and the names of its classes, which labels that are numbers count."""
    found = {}
    for name in (LABELS, CLASS_NAMES):
        if f"{name}.npy" in archive.namelist():
            if archive.getinfo(f"{name}.npy").file_size > MAX_FILE_BYTES:
                raise ValueError(f"{name} is too large")
            with damage(), archive.open(f"{name}.npy") as file:
                found[name] = np.lib.format.read_array(file, allow_pickle=False)
    labels, names = found.get(LABELS), found.get(CLASS_NAMES, np.array([], str))
    if labels is None:
        return None, ()
    if labels.size != count or labels.shape[:1] != (count,) or labels.dtype.kind not in "buiUS":
        raise ConfigError(
            f"{title}: {LABELS} has the shape {labels.shape} and type {labels.dtype}: must have one number or name for "
            f"each of the {count} images."
        )
    class_names = tuple(map(str, names.tolist())) if names.ndim == 1 else ()
    texts = [label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label) for label in labels.flat]
    if class_names and labels.dtype.kind in "bui":
        if labels.min() < 0 or labels.max() >= len(class_names):
            raise ConfigError(f"{title}: {LABELS} must count the {len(class_names)} {CLASS_NAMES} from 0.")
        texts = [class_names[int(label)] for label in labels.flat]
    return texts, class_names
