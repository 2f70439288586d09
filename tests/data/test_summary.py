"""What is said about a dataset, and what tells it from another one."""

import pytest
import torch

from gan.data.contact_sheet import draw_contact_sheet
from gan.data.datasets import ImageDataset
from gan.data.summary import (
    describe_changes,
    describe_classes,
    describe_images,
    describe_skipped,
    summarize,
)

NAMES = ("ant", "bee", "cat")


def make(count=30, classes=3, names=NAMES, **fields):
    images = torch.arange(count * 3 * 64).remainder(251).to(torch.uint8).view(count, 3, 8, 8) + 1
    labels = torch.arange(count) % classes if classes else None
    return ImageDataset(images, labels, class_names=names, **fields)


def test_number_shape_values_and_how_they_were_read_are_said():
    summary = summarize(make(1234, notes={"channels": "color: 3.png has it"}), "pets")
    said = describe_images(summary)
    assert all(part in said for part in ("1,234 images", "8x8x3", "values 1 to 251 of 0 to 255", "color: 3.png has it"))
    assert "values -0.992 to 0.969" in describe_images(summary, (-1.0, 1.0))


def test_values_are_those_of_all_images():
    dataset = make(40_000, 0, ())
    dataset.images[39_999, 2, 7, 7] = 255
    dataset.images[12_345, 0, 0, 0] = 0
    assert summarize(dataset, "x").values == (0, 255)


def test_classes_are_listed_with_their_counts():
    assert describe_classes(summarize(make(31), "x")) == "3 classes: ant (11), bee (10), cat (10)"
    assert describe_classes(summarize(make(30), "x")) == "3 classes of 10 each: ant, bee, cat"
    assert describe_classes(summarize(make(30, 0, ()), "x")) == ""
    assert describe_classes(summarize(make(30, 2, ()), "x")) == "2 classes of 15 each: 0, 1"
    stray = make(30, 0, (), missing_classes="a.png lies beside them")
    assert describe_classes(summarize(stray, "x")) == "none: a.png lies beside them"


def test_of_many_classes_the_first_are_listed():
    names = tuple(f"class{number}" for number in range(100))
    said = describe_classes(summarize(make(150, 100, names), "x"))
    assert said.startswith("100 classes: class0 (2)") and said.endswith("and 95 more") and "class5" not in said


def test_a_class_without_images_counts():
    assert "cat (0)" in describe_classes(summarize(make(30, 2), "x"))


def test_names_cannot_change_the_console():
    said = describe_classes(summarize(make(30, 3, ("\x1b[31mred", "two\nlines", "long" * 50)), "x"))
    assert "\x1b" not in said and "\n" not in said and len(said) < 150


def test_what_was_skipped_is_said_by_kind():
    assert describe_skipped(summarize(make(skipped={".heic": 1200, "hidden": 3}), "x")) == "1,200 .heic, 3 hidden"


def record(dataset):
    return summarize(dataset, "x").record()


def changed(dataset, **fields):
    return describe_changes(record(make()), record(dataset))


def test_the_same_content_is_no_change_wherever_it_is_and_whatever_was_skipped():
    assert changed(make(source="elsewhere", skipped={".txt": 1})) == []


def test_every_change_of_an_image_is_found():
    for index in (0, 17, 29):
        dataset = make()
        dataset.images[index, 1, 2, 3] += 1
        assert changed(dataset) == ["the images differ"]


def test_images_in_another_order_are_a_change():
    dataset = make()
    assert changed(dataset[torch.arange(29, -1, -1)]) != []


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (make(33), ["number of images was 30 and is now 33", "the class ant had 10 images and has 11"]),
        (make(names=("ant", "bee", "dog")), ["the class cat is gone", "the class dog is new"]),
        (make(28, 4, (*NAMES, "dog")), ["the class dog is new", "30", "28"]),
        (make(names=("bee", "ant", "cat")), ["another order"]),
        (make()[torch.tensor([*range(29), 0])], ["the class cat had 10 images and has 9"]),
        (ImageDataset(make().images[:, :1], make().labels, class_names=NAMES), ["3 x 8 x 8", "1 x 8 x 8"]),
    ],
    ids=["more", "renamed", "added", "order", "replaced", "gray"],
)
def test_what_changed_is_named(dataset, words):
    said = "; ".join(changed(dataset))
    assert all(word in said for word in words), said


def test_labels_alone_are_a_change():
    dataset = make()
    dataset.labels[[0, 1]] = dataset.labels[[1, 0]]
    assert changed(dataset) == ["the labels differ"]


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 28), (1, 64), (3, 200)])
def test_a_contact_sheet_has_a_row_of_images_for_each_class(channels, size):
    images = torch.full((9, channels, size, size), 90, dtype=torch.uint8)
    images[torch.arange(9) % 3 == 1] = 200
    dataset = ImageDataset(images, torch.arange(9) % 3, class_names=("ant", "übung", "日本"))
    sheet = draw_contact_sheet(images, summarize(dataset, "x"))
    column = [sheet.convert("RGB").getpixel((20, y))[0] for y in range(sheet.height)]
    runs = [value for value, before in zip(column[1:], column, strict=False) if value != before and value in (90, 200)]
    assert runs == [90, 200, 90]


def test_a_contact_sheet_of_many_classes_says_how_many_it_leaves_out():
    few, many = (
        draw_contact_sheet(dataset.images, summarize(dataset, "x"))
        for dataset in (make(200, 20, tuple(map(str, range(20)))), make(200, 50, tuple(map(str, range(50)))))
    )
    assert 0 < many.height - few.height < 64


@pytest.mark.parametrize("count", [1, 13, 1000])
def test_a_contact_sheet_without_classes_has_full_rows(count):
    dataset = make(count, 0, ())
    sheet = draw_contact_sheet(dataset.images, summarize(dataset, "x"))
    rows = min(-(-count // 12), 20)
    assert sheet.height == 2 * 16 + rows * (64 + 2)


@pytest.mark.parametrize("is_rounded", [False, True])
def test_the_rounding_of_another_processor_is_no_change(is_rounded):
    before, now = make(is_rounded=is_rounded), make(is_rounded=is_rounded)
    now.images[0, 0, 0, 0] += 1
    assert describe_changes(record(before), record(now)) == ([] if is_rounded else ["the images differ"])
    now.labels[[0, 1]] = now.labels[[1, 0]]
    assert "the labels differ" in describe_changes(record(before), record(now))


def test_of_what_a_warning_says_the_first_lines_say_nothing():
    notes = {"channels": "gray", "blank": "2 of 30 images are blank"}
    assert "gray" in describe_images(summarize(make(notes=notes), "x"))
    assert "blank" not in describe_images(summarize(make(notes=notes), "x"))
