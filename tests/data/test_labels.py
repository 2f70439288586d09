"""The classes of images: from folders, dataset.json, labels.csv and splits."""

import json
import zipfile

import pytest

from gan.config import check
from gan.config.errors import ConfigError
from gan.data import labels
from gan.training import build
from tests.conftest import composed, narrow
from tests.data.image_files import FORMS, brightness, gray_png, load, two_classes, write

CSV = "a.png,cat\nb.png,dog\n"


def named_images(*names):
    """Gray images of these names; the brightness of each is its place."""
    return {name: gray_png(value) for value, name in enumerate(names)}


def classes_of(dataset):
    """The name of the class of each image, in the order of their brightness."""
    return [dataset.class_names[label] for _, label in sorted(zip(brightness(dataset), dataset.labels, strict=True))]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "2", "0"], ["0", "2", "9", "10"]),
        (["class10", "class9"], ["class9", "class10"]),
        (["b", "a", "B"], ["B", "a", "b"]),
        (["v2_1", "v2_10", "v10_1", "v2_2"], ["v2_1", "v2_2", "v2_10", "v10_1"]),
        (["9" * 5000, "1" + "0" * 5000, "x"], ["9" * 5000, "1" + "0" * 5000, "x"]),
    ],
)
def test_numbers_in_names_are_sorted_as_numbers(names, expected):
    assert labels.from_values(names, set(names)).names == tuple(expected)


@pytest.mark.parametrize("form", ["folder", "x.zip"])
def test_class_folders_with_numbers_are_in_the_order_of_the_numbers(tmp_path, form):
    path = write(tmp_path / form, {f"{number}/{copy}.png": gray_png(number) for number in range(12) for copy in "ab"})
    dataset = load(path, tmp_path / "cache")
    assert dataset.labels.tolist() == brightness(dataset)
    assert dataset.class_names == dataset.shape.class_names == tuple(map(str, range(12)))


def test_the_classes_are_the_folders_below_the_common_one_however_deep_the_images_are(tmp_path):
    contents = named_images("data/all/cat/a.png", "data/all/cat/more/b.png", "data/all/dog/c.png")
    assert classes_of(load(write(tmp_path / "x.zip", contents), tmp_path)) == ["cat", "cat", "dog"]


@pytest.mark.parametrize("form", ["folder", "x.zip", "x.tar.gz"])
@pytest.mark.parametrize("stray", ["preview.png", "notes.txt", "all/Über.png"])
def test_a_stray_image_beside_class_folders_is_named(tmp_path, form, stray):
    prefix = "all/" if stray.startswith("all/") else ""
    contents = {prefix + name: content for name, content in two_classes().items()} | {stray: gray_png(200)}
    path = write(tmp_path / form, contents)
    dataset = load(path, tmp_path / "cache")
    assert len(dataset) == 13 and dataset.labels is None and dataset.shape.class_count == 0
    assert stray in dataset.missing_classes and "cat, dog" in dataset.missing_classes
    data = ["dataset=image_folder", f"dataset.path={path}", f"cache_dir={tmp_path / 'cache'}", "train.batch_size=4"]
    cfg = composed(*data, "device=cpu", "trick=[conditional]", *narrow("mlp"))
    with pytest.raises(ConfigError, match=f"conditional.*{stray}"):
        build.build_run(cfg, check.check_config(cfg), {})


@pytest.mark.parametrize("form", FORMS[:3])
@pytest.mark.parametrize("root", ["", "my set/"])
@pytest.mark.parametrize("test", ["test", "Test", "testing", "val", "valid", "validation"])
def test_train_and_test_are_splits_and_no_classes(tmp_path, form, root, test):
    train, others = two_classes(), {name: gray_png(100 + number) for number, name in enumerate(two_classes(4))}
    contents = {f"{root}train/{name}": content for name, content in train.items()}
    contents |= {f"{root}{test}/{name}": content for name, content in others.items()} | {f"{root}README": b"x"}
    path = write(tmp_path / form, contents)
    dataset, held_out = (load(path, tmp_path / "cache", split) for split in ("train", "test"))
    assert dataset.class_names == held_out.class_names == ("cat", "dog")
    assert dataset.labels.tolist() == [value % 2 for value in brightness(dataset)] and max(brightness(dataset)) < 12
    assert sorted(brightness(held_out)) == [100, 101, 102, 103]
    assert dataset.skipped == {f"in {root}{test}/": 4, "without ending": 1}
    assert "train/" in dataset.notes["split"] and test in held_out.notes["split"]


def test_a_split_is_read_in_the_order_of_its_folder_alone(tmp_path):
    contents = {f"{split}/{name}": content for split in ("train", "val") for name, content in two_classes().items()}
    path = write(tmp_path / "images", contents)
    assert brightness(load(path, tmp_path / "cache")) == brightness(load(path / "train", tmp_path / "cache"))


def test_the_test_folder_is_preferred_to_val_and_test_path_to_both(tmp_path):
    contents = {
        f"{split}/{index}.png": gray_png(value)
        for value, split in enumerate(("train", "val", "test"))
        for index in "ab"
    }
    path, other = write(tmp_path / "x.zip", contents), write(tmp_path / "other", {"9.png": gray_png(9)})
    assert brightness(load(path, tmp_path)) == [0, 0] and brightness(load(path, tmp_path, "test")) == [2, 2]
    assert brightness(load(path, tmp_path, "test", test_path=str(other))) == [9]
    assert brightness(load(other, tmp_path, "test", test_path=str(path))) == [2, 2]


def test_folders_that_are_called_train_and_something_else_are_classes(tmp_path):
    for number, names in enumerate([("train", "car"), ("test", "val"), ("train", "test", "bus")]):
        path = write(tmp_path / f"{number}", named_images(*(f"{name}/x.png" for name in names)))
        assert set(load(path, tmp_path / "cache").class_names) == set(names)
        with pytest.raises(ConfigError, match=r"dataset\.test_path=null"):
            load(path, tmp_path / "cache", "test")


def json_labels(*pairs, **more):
    return json.dumps({"labels": pairs} | more)


@pytest.mark.parametrize("form", FORMS[:3])
@pytest.mark.parametrize("place", ["", "top/"])
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("dataset.json", json_labels(["a.png", 10], ["b.png", 9], ["x/c.png", 10]), ["10", "9", "10"]),
        ("dataset.json", json_labels(["a.png", "dog"], ["b.png", "cat"], ["x\\c.png", "dog"]), ["dog", "cat", "dog"]),
        (
            "dataset.json",
            json_labels(["./a.png", 1], ["b.png", 0], ["x/c.png", 1], classes=["one", "two", "three"]),
            ["two", "one", "two"],
        ),
        ("labels.csv", "file,label\na.png,dog\nb.png, cat \nx/c.png,dog\n", ["dog", "cat", "dog"]),
        ("labels.csv", '\ufeffa.png,"big, dog"\r\n\r\nb.png,2\r\nx\\c.png,10\r\n', ["big, dog", "2", "10"]),
    ],
)
def test_labels_are_read_from_a_file(tmp_path, form, place, name, text, expected):
    contents = {place + image: content for image, content in named_images("a.png", "b.png", "x/c.png").items()}
    dataset = load(write(tmp_path / form, contents | {place + name: text.encode()}), tmp_path / "cache")
    assert classes_of(dataset) == expected and dataset.skipped == {}
    assert "2" not in dataset.class_names or dataset.class_names.index("2") < dataset.class_names.index("10")


def test_a_file_of_labels_decides_where_there_are_folders_too(tmp_path):
    contents = two_classes(4) | {"labels.csv": b"cat/0.png,x\ncat/2.png,y\ndog/1.png,x\ndog/3.png,z\n"}
    assert classes_of(load(write(tmp_path / "x.zip", contents), tmp_path)) == ["x", "x", "y", "z"]


def test_a_class_of_a_file_keeps_its_index_where_a_limit_leaves_others_out(tmp_path):
    lines = "".join(f"{number}.png,class{number}\n" for number in range(30))
    contents = {f"{number}.png": gray_png(number) for number in range(30)} | {"labels.csv": lines.encode()}
    dataset = load(write(tmp_path / "images", contents), tmp_path / "cache", limit=5)
    assert dataset.labels.tolist() == brightness(dataset) and len(dataset) == 5 and dataset.shape.class_count == 30


def test_labels_null_as_of_stylegan_are_no_classes(tmp_path):
    contents = {f"0000{index % 2}/{index}.png": gray_png(index) for index in range(4)}
    dataset = load(write(tmp_path / "x.zip", contents | {"dataset.json": b'{"labels": null}'}), tmp_path)
    assert dataset.labels is None and not dataset.missing_classes


def test_an_image_without_a_label_and_a_label_without_an_image_are_named_and_counted(tmp_path):
    contents = named_images("a.png", "b.png") | {"labels.csv": (CSV + "gone.png,cat\nother.png,dog\n").encode()}
    dataset = load(write(tmp_path / "1", contents), tmp_path / "cache")
    assert classes_of(dataset) == ["cat", "dog"] and dataset.skipped == {"without a file, in labels.csv": 2}
    dataset = load(write(tmp_path / "2", contents | {"c.png": gray_png(2)}), tmp_path / "cache")
    assert dataset.labels is None and len(dataset) == 3 and "c.png" in dataset.missing_classes


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("dataset.json", "[]", "labels"),
        ("dataset.json", "{", "cannot be read"),
        ("dataset.json", "[" * 100_000, "cannot be read"),
        ("dataset.json", '{"labels": {"a.png": 0}}', "FILE"),
        ("dataset.json", json_labels(["a.png", [0, 1]], ["b.png", 0]), "a.png"),
        ("dataset.json", json_labels(["a.png", True], ["b.png", 0]), "a.png"),
        ("dataset.json", json_labels(["a.png", 1.5], ["b.png", 0]), "a.png"),
        ("dataset.json", json_labels(["a.png", 2], ["b.png", 0], classes=["x", "y"]), "a.png"),
        ("dataset.json", json_labels(["a.png", -1], ["b.png", 0], classes=["x", "y"]), "a.png"),
        ("dataset.json", json_labels(["a.png", 0], classes="xy"), "classes"),
        ("labels.csv", "a.png\nb.png\n", "line 1"),
        ("labels.csv", CSV + "c.png,\n", "line 3"),
        ("labels.csv", 'a.png,"cat\n', "cannot be read"),
        ("labels.csv", "a.png;cat\nb.png;dog\n", "line 1"),
    ],
)
def test_a_file_of_labels_in_another_form_is_one_sentence(tmp_path, name, text, named):
    path = write(tmp_path / "images", named_images("a.png", "b.png") | {name: text.encode()})
    with pytest.raises(ConfigError) as error:
        load(path, tmp_path / "cache")
    message = str(error.value)
    assert name in message and named in message and str(path) in message and "\n" not in message


def test_labels_that_are_not_utf_8_are_one_sentence(tmp_path):
    path = write(tmp_path / "images", named_images("a.png") | {"labels.csv": b"a.png,\xfc\n"})
    with pytest.raises(ConfigError, match=r"labels\.csv"):
        load(path, tmp_path / "cache")


@pytest.mark.parametrize("form", ["folder", "x.zip", "x.tar"])
@pytest.mark.parametrize("root", ["", "data/"])
def test_images_beside_the_folders_of_splits_are_counted(tmp_path, form, root):
    names = [f"{root}{name}" for name in ("train/a.png", "train/b.png", "test/c.png", "stray.png", "other.png")]
    dataset = load(write(tmp_path / form, named_images(*names)), tmp_path / "cache")
    assert sorted(brightness(dataset)) == [0, 1]
    assert dataset.skipped == {f"beside {root}train/": 2, f"in {root}test/": 1}


@pytest.mark.parametrize("name", labels.LABEL_FILES)
@pytest.mark.parametrize("damage", ["content", "encrypted"])
def test_a_file_of_labels_that_cannot_be_unpacked_is_a_sentence_with_its_name(tmp_path, name, damage):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for image, content in named_images("a.png", "b.png").items():
            archive.writestr(image, content)
        archive.writestr(name, CSV * 9, zipfile.ZIP_DEFLATED)
        place = archive.getinfo(name).header_offset
    content = bytearray(path.read_bytes())
    if damage == "content":
        start = place + 30 + len(name)
        content[start : start + 9] = b"\xff" * 9
    else:
        content[place + 6] |= 1
        content[content.rfind(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"dataset.path=.*{name} cannot be read"):
        load(path, tmp_path / "cache")


def test_classes_with_one_name_are_one_class():
    found = labels.from_values(["a", "b", "a"], ["a", "a", "b"])
    assert found.names == ("a", "b") and found.indices == [0, 1, 0]
