"""The classes of images: from a file of labels, or else from the folders that they are in."""

import csv
import io
import json
import posixpath
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from gan.config.errors import ConfigError, first_line, printable
from gan.data.sources import Source
from gan.system.images import damage

LABEL_FILES = ("dataset.json", "labels.csv")
HEADERS = {f"{file} {label}" for file in ("file", "filename", "path", "image") for label in ("label", "class")}
SPLITS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}


@dataclass(frozen=True)
class Labels:
    """The classes of the images of a dataset.

    Args:
        names: of the classes, in their order.
        indices: of each image's class; None: there are no classes.
        missing: why there are none, where there almost are: the end of a sentence.
        absent: how many files have a label and are not there.
    """

    names: tuple[str, ...] = ()
    indices: list[int] | None = None
    missing: str = ""
    absent: int = 0


def find_split(names: Collection[str], split: str) -> str:
    """The folder of a split, train or test, with a slash at its end.

    Empty where the folders below the root of all files are no splits: two or more with such names, and no other.
    """
    root = common_folder(names)
    folders = {name[len(root) :].partition("/")[0] for name in names if "/" in name[len(root) :]}
    known = {folder.lower(): folder for folder in folders}
    others = set(known) - {name for words in SPLITS.values() for name in words}
    if len(folders) < 2 or others or not set(known) & set(SPLITS["train"]):
        return ""
    chosen = next((known[word] for word in SPLITS[split] if word in known), None)
    return "" if chosen is None else f"{root}{chosen}/"


def common_folder(names: Collection[str]) -> str:
    """The deepest folder that all files are in, with a slash at its end; empty for the top."""
    first, last = min(names, default=""), max(names, default="")  # between which the others lie
    return first[: posixpath.commonprefix([first, last]).rfind("/") + 1]


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key by which names are sorted with their numbers as numbers: 2 before 10."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [part.lstrip("0") for part in parts]
    return [
        (0, len(number), number) if index % 2 else (1, 0, part)
        for index, (part, number) in enumerate(zip(parts, numbers, strict=True))
    ]


def from_values(values: Sequence[str], every: Collection[str]) -> Labels:
    """Labels from the name of each image's class.

    Args:
        every: the names of all classes, also those that are not in `values`: a list in their order, or a set.
    """
    is_ordered = isinstance(every, list)
    classes = dict.fromkeys(every if is_ordered else sorted(every, key=lambda name: (natural_order(name), name)))
    index = {name: number for number, name in enumerate(classes)}
    return Labels(tuple(map(printable, classes)), [index[value] for value in values])


def folder_labels(names: Sequence[str], every: Collection[str], prefix: str) -> Labels:
    """The classes by the folders just below the one that all images are in: two or more, and no image beside them.

    Args:
        names: of the images whose labels are returned.
        every: of all readable images, whatever dataset.limit, so that a class keeps its index.
        prefix: the folder of the split.
    """
    start = len(prefix) + len(common_folder([name[len(prefix) :] for name in every]))
    folders = {name[start:].partition("/")[0] for name in every if "/" in name[start:]}
    beside = sorted(name for name in every if "/" not in name[start:])
    if beside and folders:
        shown = ", ".join(map(printable, sorted(folders, key=natural_order)[:3]))
        more = f" and {len(beside) - 1} more" if len(beside) > 1 else ""
        return Labels(missing=f"{printable(beside[0])}{more} lies beside the class folders {shown}")
    if len(folders) < 2:
        return Labels()
    return from_values([name[start:].partition("/")[0] for name in names], folders)


def find_label_file(names: Collection[str], others: Collection[str]) -> str | None:
    """Of `others`, the file of labels in the deepest folder that all images `names` are below."""
    root = common_folder(names)
    found = [name for name in others if posixpath.basename(name) in LABEL_FILES and root.startswith(folder_of(name))]
    return max(found, key=lambda name: (len(folder_of(name)), name == "dataset.json"), default=None)


def folder_of(name: str) -> str:
    """The folder of a file, with a slash at its end; empty at the top."""
    return name[: name.rfind("/") + 1]


def file_labels(source: Source, file: str, names: Sequence[str], every: Collection[str], title: str) -> Labels:
    """The classes that a file names for the images, by their paths from its own folder. Raises ConfigError.

    Where it has no label for an image there are no classes.
    """
    place, root = f"{title}: {printable(file)}", folder_of(file)
    try:
        with damage():
            content = source.read(file)
        assert isinstance(content, bytes)
        text = content.decode("utf-8-sig")
        values, listed = parse_json(text, place) if file.endswith(".json") else (parse_csv(text, place), None)
    except (ValueError, OSError, RecursionError, csv.Error) as error:
        raise ConfigError(f"{place} cannot be read: {first_line(error)}.") from error
    if values is None:  # StyleGAN's tool writes null for images without classes
        return Labels()
    unlabeled = sorted(name for name in every if name[len(root) :] not in values)
    if unlabeled:
        more = f" and {len(unlabeled) - 1} more" if len(unlabeled) > 1 else ""
        return Labels(missing=f"{printable(file)} has no label for {printable(unlabeled[0])}{more}")
    labels = [values[name[len(root) :]] for name in names]
    absent = len(values.keys() - {name[len(root) :] for name in source.names})
    return replace(from_values(labels, listed or {*values.values()}), absent=absent)


def parse_json(text: str, place: str) -> tuple[dict[str, str] | None, list[str] | None]:
    """Labels by file from StyleGAN's `{"labels": [["00000/a.png", 0], ...]}`, and the names of the classes.

    A label is a number or a name. Names of numbers can be in `"classes": ["cat", "dog"]`, which StyleGAN ignores.
    """
    content = json.loads(text)
    pairs = content.get("labels") if isinstance(content, dict) else None
    classes = content.get("classes") if isinstance(content, dict) else None
    form = '{"labels": [["FILE", LABEL], ...]}, where a label is a whole number or a name'
    if isinstance(content, dict) and "labels" in content and pairs is None:
        return None, None
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ConfigError(f"{place}: must be {form}.")
    values = {}
    for name, label in pairs:
        if not isinstance(name, str) or type(label) not in (int, str):
            raise ConfigError(
                f"{place}: the label of {printable(name)} is {printable(json.dumps(label))}; must be {form}."
            )
        values[clean_path(name)] = label
    if classes is None:
        return {name: str(label) for name, label in values.items()}, None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ConfigError(f'{place}: "classes" must be a list of names.')
    for name, label in values.items():
        if label not in classes and not (isinstance(label, int) and 0 <= label < len(classes)):
            raise ConfigError(f"{place}: the label of {printable(name)}, {printable(label)}, is none of its classes.")
    named = {name: classes[label] if isinstance(label, int) else label for name, label in values.items()}
    return named, classes


def parse_csv(text: str, place: str) -> dict[str, str]:
    """Labels by file from lines `file,label`; a first line that names the columns is skipped."""
    values = {}
    for number, row in enumerate(csv.reader(io.StringIO(text), strict=True), 1):
        words = [word.strip() for word in row]
        if not any(words) or (number == 1 and " ".join(words).lower() in HEADERS):
            continue
        if len(words) != 2 or not all(words):
            raise ConfigError(f"{place}, line {number}: {printable(','.join(row))!r}: must be file,label.")
        values[clean_path(words[0])] = words[1]
    return values


def clean_path(name: str) -> str:
    """A path in a file of labels as the images' names are written."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
