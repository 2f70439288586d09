"""Which files of a source are images, what the others are counted as, and the order of the images."""

import hashlib
import os
import posixpath
from collections import Counter

import numpy as np

from gan.config.errors import printable
from gan.data.decoding import open_content
from gan.data.labels import LABEL_FILES
from gan.data.sources import Source, is_transient
from gan.system.images import may_be_image

EXTENSIONS = {  # files with these names are images, readable or not; others are by their content
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
    ".avif",
}
# Of cameras: as TIFF files they have a small preview where the image should be.
RAW = {".arw", ".cr2", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".sr2", ".srw"}


def choose_images(source: Source) -> tuple[list[str], list[str], Counter[str]]:
    """The names of the images of a source, those of files that may have labels, and how many others are skipped.

    A file is an image by the ending of its name, or else by its content; the others are counted by their ending.
    """
    if source.is_array:
        return source.names, [], Counter()
    images, others, skipped = [], [], source.skipped.copy()
    for name in source.names:
        if ending(name) in EXTENSIONS or is_image(source, name):
            images.append(name)
        else:
            skipped[describe_ending(name)] += 1
            others += [name] if posixpath.basename(name) in LABEL_FILES else []
    return images, others, skipped


def describe_ending(name: str) -> str:
    """What a file that is no image is counted as."""
    return printable(ending(name)) or "without ending"


def ending(name: str) -> str:
    """The ending of a file's name in small letters, such as .png, or nothing. Paths would intern a million names."""
    return posixpath.splitext(name)[1].lower().rstrip(".")


def describe_place(name: str, prefix: str) -> str:
    """What an image outside the folder of its split is counted as: the other folder that it is in, if any."""
    root = prefix[: prefix.rfind("/", 0, -1) + 1]
    folder, is_inside, _ = name[len(root) :].partition("/")
    return f"in {root}{folder}/" if is_inside else f"beside {prefix}"


def is_image(source: Source, name: str) -> bool:
    """Whether a file is an image by its content. Raises what is not the file's fault."""
    if ending(name) in RAW:
        return False
    try:
        return may_be_image(source.read_start(name)) and bool(open_content(source.read(name)))
    except Exception as error:  # Pillow raises nearly anything, and so does a damaged archive
        if is_transient(error):
            raise
        return False


def shuffled(names: list[str], start: int) -> list[str]:
    """The names in an order that depends on each name, from its character `start` on, alone."""
    digests = (hashlib.md5(os.fsencode(name[start:])).digest()[:8] for name in names)
    keys = np.fromiter((int.from_bytes(digest, "big") for digest in digests), np.uint64, len(names))
    return [names[index] for index in keys.argsort(kind="stable")]
