"""Your own images: a folder, an archive or an array as one uint8 tensor, decoded once and then read from a cache."""

import contextlib
import hashlib
import logging
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan.config.errors import ConfigError, first_line, printable
from gan.data import image_cache
from gan.data.archives import open_archive
from gan.data.arrays import is_array, open_array
from gan.data.decode_all import Reading, decode_source
from gan.data.decoding import Fit, Kind, Scale
from gan.data.labels import Labels, file_labels, find_label_file, find_split, folder_labels, from_values
from gan.data.selection import choose_images, describe_ending, describe_place, shuffled
from gan.data.sources import Source, list_folder
from gan.system import files, locks
from gan.system.cache import remove_stale

log = logging.getLogger(__name__)
WHAT = "a folder, zip or tar of images, or an npy or npz"
SHOWN = 3  # names in a message


class ImageData(NamedTuple):
    """What `read_images` returns.

    Args:
        images: uint8 (N, C, size, size), memory-mapped.
        labels: int64 (N,); None without classes.
        class_names: of all classes.
        skipped: how many files are not among the images, by what they are.
        missing: why there are no classes, where there almost are: the end of a sentence.
        notes: what was decided from all images: `channels`, `values`, `split`.
        scales: of images with more than 8 bits, as in `Fit`.
    """

    images: Tensor
    labels: Tensor | None
    class_names: tuple[str, ...]
    skipped: dict[str, int]
    missing: str
    notes: dict[str, str]
    scales: tuple[tuple[Kind, Scale], ...]


def read_images(
    path: Path,
    cache_dir: Path,
    fit: Fit,
    limit: int | None = None,
    split: str = "train",
    setting: str = "dataset.path",
) -> ImageData:
    """Every image below `path`, made into what `fit` says; of an animation the first frame.

    The order is shuffled, the same way each time, so that the first `limit` come from all classes.

    Args:
        fit: a size of 0 stands for the side that all images share.
        split: train or test, the images that are read where `path` has a folder for each.
        setting: the setting that named `path`, for error messages.

    Raises ConfigError where there are no readable images, no common size, or labels that cannot be read.
    """
    title = f"{setting}={path}"
    folder, stamp = inspect_path(path, title)
    key = (fit, limit, split, stamp)
    digest = hashlib.md5(repr(key).encode("utf-8", "replace")).hexdigest()[:16]
    cache = cache_dir / f"images-{image_cache.VERSION}-{digest}.npy"
    with locks.exclusive(cache):
        try:
            images, about = image_cache.load(cache)
        except (FileNotFoundError, ValueError) as error:  # one that cannot be read is no reason to replace it
            if isinstance(error, ValueError):
                log.warning("%s: %s; the images are decoded again", cache, first_line(error))
            with open_source(path, title, folder, cache_dir) as source:
                fill_cache(cache, source, fit, limit, split, title)
            images, about = image_cache.load(cache)
    warn(about, path)
    labels = torch.tensor(about["labels"]) if about["labels"] else None
    return ImageData(
        torch.from_numpy(images),
        labels,
        tuple(about["classes"]),
        about["skipped"],
        about["missing"],
        about["notes"],
        tuple((kind, (low, high)) for kind, (low, high) in about["scales"].items()),
    )


def warn(about: dict[str, Any], path: Path) -> None:
    """Warn of what is left out, or not as a user may think, of the images below `path`."""
    if unreadable := about["unreadable"]:
        shown = ", ".join(unreadable[:SHOWN])
        log.warning("left out %d unreadable images of %s: %s", len(unreadable), printable(path), shown)
    if "blank" in about["notes"]:
        log.warning("%s", about["notes"]["blank"])


def find_source(text: str) -> Path:
    """The path that a user names, where `~` is the home folder: a shell leaves it as it is after `dataset.path=`."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # there is no such user
        return path if path.exists() else path.expanduser()
    return path


def inspect_path(path: Path, title: str) -> tuple[Source | None, str]:
    """The files of `path` if it is a folder, and a stamp that changes when it changes. Raises ConfigError."""
    try:
        if path.is_dir():
            return list_folder(path)
        stat = path.stat()
    except FileNotFoundError:
        raise ConfigError(f"{title} does not exist; it should be {WHAT}.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{title} cannot be read ({first_line(error)}); it should be {WHAT}.") from error
    if not path.is_file():
        raise ConfigError(f"{title} is a pipe or a device; it should be {WHAT}.")
    return None, f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def has_test_split(text: str, cache_dir: Path, setting: str) -> bool:
    """Whether the images at a path have a test split. Raises ConfigError where there is nothing to read."""
    path = find_source(text)
    folder, _ = inspect_path(path, title := f"{setting}={text}")
    with open_source(path, title, folder, cache_dir) as source:
        return bool(find_split(choose_images(source)[0], "test"))


@contextlib.contextmanager
def open_source(path: Path, title: str, folder: Source | None, cache_dir: Path) -> Iterator[Source]:
    """What lies at `path`, open in this context; `folder` are its files if it is a folder. Raises ConfigError."""
    if folder is not None:
        yield folder
        return
    opened = open_array if is_array(path) else open_archive
    with opened(path, title, cache_dir) as source:
        yield source


def fill_cache(cache: Path, source: Source, fit: Fit, limit: int | None, split: str, title: str) -> None:
    """Decode the images of a source into `cache`, with a JSON file beside it. Raises ConfigError."""
    images, others, skipped = choose_images(source)
    prefix = find_split(images, split)
    skipped.update(describe_place(name, prefix) for name in images if not name.startswith(prefix))
    images = [name for name in images if name.startswith(prefix)]
    if not images:
        found = ", ".join(f"{count} {what}" for what, count in skipped.most_common())
        raise ConfigError(f"{title} has no images{found and f' (but {found})'}; it should be {WHAT}.")
    names = shuffled(images, len(prefix))[:limit]
    reading = decode_source(source, names, fit, cache, title)
    labels, label_file = find_labels(source, reading, images, others, prefix, title)
    if label_file:
        skipped -= Counter([describe_ending(label_file)])
        skipped[f"without a file, in {posixpath.basename(label_file)}"] += labels.absent
    skipped["unreadable"] += len(reading.errors)
    about = {
        "source": printable(title),
        "images": len(reading.names),
        "classes": list(labels.names),
        "labels": labels.indices or [],
        "missing": labels.missing,
        "unreadable": [printable(name) for name in reading.errors],
        "skipped": {what: count for what, count in skipped.most_common() if count},
        "scales": reading.scales(fit),
        "notes": reading.notes(fit) | ({"split": f"{printable(prefix)} is read"} if prefix else {}),
    }
    files.write_json(cache.with_suffix(".json"), about)
    remove_stale(cache.parent, "images-*", f"images-{image_cache.VERSION}-*")


def find_labels(
    source: Source, reading: Reading, images: Sequence[str], others: Sequence[str], prefix: str, title: str
) -> tuple[Labels, str | None]:
    """The classes of the decoded images, and the file that has them, if any. Raises ConfigError.

    Args:
        images: of this split, whatever dataset.limit.
        others: names of files that may have labels.
    """
    if source.is_array:
        if source.labels is None:
            return Labels(), None
        values = [source.labels[int(name)] for name in reading.names]
        return from_values(values, list(source.class_names) or set(source.labels)), None
    readable = [name for name in images if name not in reading.errors]
    if file := find_label_file(readable, others):
        return file_labels(source, file, reading.names, readable, title), file
    return folder_labels(reading.names, readable, prefix), None
