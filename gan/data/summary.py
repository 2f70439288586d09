"""What a dataset has: for the first lines of a run, for its status, and to tell it from other data."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gan.config.errors import printable
from gan.data.datasets import ImageDataset
from gan.data.image_shape import PixelRange, PointShape
from gan.system.randomness import random_generator

CHUNK_BYTES = 2**24  # that are hashed at once
LISTED_CLASSES, FIRST_CLASSES = 10, 5  # how many classes are listed in full, and how many of more than these
LISTED_CHANGES = 3
MAX_NAME = 40  # characters of a class name in a line
SHOWN_CLASSES, SHOWN_IMAGES = 20, 12  # on a contact sheet, and of each class


@dataclass(frozen=True)
class DataSummary:
    """What training needs to say about its images, without the images.

    Args:
        name: of the dataset, as in `dataset=`.
        source: where its files are, as it was typed.
        count: number of images.
        shape: of one image, channels, height and width; of a point, how many numbers it has.
        missing_classes: why there are no classes, where there almost are.
        notes: what was decided from all images, such as why they are gray, by what it is about.
        values: the least and the greatest; of images, of 0 to 255.
        class_names: of all classes, or () where they have none.
        class_counts: images of each class; () without classes.
        skipped: files that are not among the images: how many, by what they are.
        content: hashes of images and labels.
        is_rounded: whether the last bit of the images depends on the processor.
        examples: indices of images to be shown: of each of the first classes, or of all images without classes.
    """

    name: str
    source: str
    count: int
    shape: tuple[int, ...]
    missing_classes: str
    notes: dict[str, str]
    values: tuple[float, float]
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    skipped: dict[str, int]
    content: dict[str, str]
    is_rounded: bool
    examples: tuple[tuple[int, ...], ...]

    def record(self) -> dict[str, Any]:
        """The entry of status.json and of a checkpoint."""
        return {
            "name": self.name,
            "source": self.source,
            "images": self.count,
            "shape": list(self.shape),
            "notes": dict(self.notes),
            "values": list(self.values),
            "classes": len(self.class_counts),
            "class_names": list(self.class_names),
            "class_counts": list(self.class_counts),
            "skipped": dict(self.skipped),
            "content": dict(self.content),
            "is_rounded": self.is_rounded,
        }


def summarize(dataset: ImageDataset, name: str, source: str = "") -> DataSummary:
    """Look at every image of a dataset once: about half a second for each GB.

    Args:
        source: where its files are, where the dataset does not say so.
    """
    classes = dataset.shape.class_count
    counts = () if dataset.labels is None else tuple(dataset.labels.bincount(minlength=classes).tolist())
    images, low, high = hash_images(dataset.images)
    labels = {} if dataset.labels is None else {"labels": digest([dataset.labels.numpy().tobytes()])}
    return DataSummary(
        name=name,
        source=dataset.source or source,
        count=len(dataset),
        shape=tuple(dataset.images.shape[1:]),
        missing_classes=dataset.missing_classes,
        notes=dict(dataset.notes),
        values=(low, high),
        class_names=dataset.class_names,
        class_counts=counts,
        skipped=dict(dataset.skipped),
        content={"images": images} | labels,
        is_rounded=dataset.is_rounded,
        examples=tuple(choose_examples(dataset)),
    )


def hash_images(images: Tensor) -> tuple[str, float, float]:
    """A hash of images uint8 (N, C, H, W) or points float32 (N, d), and their least and greatest value."""

    def look(chunk: Tensor) -> tuple[bytes, float, float]:
        array = chunk.contiguous().numpy()
        return hashlib.blake2b(array.data, digest_size=16).digest(), array.min().item(), array.max().item()

    chunks = images.split(max(1, CHUNK_BYTES // images[0].nbytes))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing runs outside Python's lock
        hashes, lows, highs = zip(*pool.map(look, chunks), strict=True)
    return digest([repr(tuple(images.shape)).encode(), *hashes]), min(lows), max(highs)


def digest(parts: Iterable[bytes]) -> str:
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def choose_examples(dataset: ImageDataset) -> list[tuple[int, ...]]:
    """Random indices of images, the same each time: for each of the first classes, or of all images."""
    order = torch.randperm(len(dataset), generator=random_generator("cpu", 0, "examples")).numpy()
    if dataset.labels is None:
        return [tuple(order[: SHOWN_CLASSES * SHOWN_IMAGES].tolist())]
    labels = dataset.labels.numpy()[order]
    classes = range(min(dataset.shape.class_count, SHOWN_CLASSES))
    return [tuple(order[labels == number][:SHOWN_IMAGES].tolist()) for number in classes]


def class_label(summary: DataSummary, number: int) -> str:
    """The name of a class, or its number where it has none, as it can be printed."""
    name = summary.class_names[number] if number < len(summary.class_names) else str(number)
    text = printable(name)
    return text if len(text) <= MAX_NAME else f"{text[: MAX_NAME - 4]} ..."


def describe_images(summary: DataSummary, values: PixelRange = None) -> str:
    """Number, shape and values of the images, and how they were read.

    Args:
        values: what 0 and 255 are scaled to; None: what the files have.
    """
    low, high = summary.values
    if len(summary.shape) == 1:
        return f"{summary.count:,} {PointShape(*summary.shape)}, values {low:.3g} to {high:.3g}"
    channels, height, width = summary.shape
    text = f"{summary.count:,} images of {height}x{width}x{channels}"
    notes = [note for about, note in summary.notes.items() if about != "blank"]  # of which a warning has been given
    text += f" ({printable('; '.join(notes))})" if notes else ""
    if values is None:
        return f"{text}, values {low} to {high} of 0 to 255"
    scaled = [values[0] + (values[1] - values[0]) * value / 255 for value in (low, high)]
    return f"{text}, values {scaled[0]:.3g} to {scaled[1]:.3g}"


def describe_classes(summary: DataSummary) -> str:
    """The classes with their names and counts, of many only the first, or why there are none; empty if nobody asks."""
    counts = summary.class_counts
    if not counts:
        return f"none: {summary.missing_classes}" if summary.missing_classes else ""
    shown = range(len(counts) if len(counts) <= LISTED_CLASSES else FIRST_CLASSES)
    rest = f", ... and {len(counts) - len(shown):,} more" if len(shown) < len(counts) else ""
    are_equal = len({*counts}) == 1
    names = [class_label(summary, number) + ("" if are_equal else f" ({counts[number]:,})") for number in shown]
    return f"{len(counts):,} classes{f' of {counts[0]:,} each' if are_equal else ''}: {', '.join(names)}{rest}"


def describe_skipped(summary: DataSummary) -> str:
    """How many files were skipped, by what they are; empty where none were."""
    return ", ".join(f"{count:,} {printable(what)}" for what, count in summary.skipped.items())


def describe_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What changed between two records of data, as far as it is known; empty where they have the same content.

    Where the files are and what was skipped does not count, nor does the last bit of images that another processor
    would round in another way: users cannot change these, and sums of their files are checked.
    """
    changes = []
    if before["images"] != now["images"]:
        changes.append(f"the number of images was {before['images']} and is now {now['images']}")
    if before["shape"] != now["shape"]:
        shapes = [" x ".join(map(str, each["shape"])) for each in (before, now)]
        changes.append(f"their shape was {shapes[0]} and is now {shapes[1]}")
    old, new = before["class_names"], now["class_names"]
    gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
    changes += [f"the class {printable(name)} is gone" for name in gone[:LISTED_CHANGES]]
    changes += [f"the class {printable(name)} is new" for name in added[:LISTED_CHANGES]]
    if old != new and not (gone or added):
        changes.append("the classes have another order")
    counts = [dict(zip(each["class_names"], each["class_counts"], strict=False)) for each in (before, now)]
    changes += [
        f"the class {printable(name)} had {counts[0][name]} images and has {counts[1][name]}"
        for name in old
        if name in new and counts[0][name] != counts[1][name]
    ][:LISTED_CHANGES]
    if not changes:
        compared = ("labels",) if now["is_rounded"] else ("images", "labels")
        changes = [f"the {part} differ" for part in compared if before["content"].get(part) != now["content"].get(part)]
    return changes
