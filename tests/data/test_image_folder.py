"""Folders and zips of images."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan.config.errors import ConfigError
from gan.data import decode_all
from gan.system import files
from tests.data.image_files import gray_png, load, png, write_zip


def write_folder(folder, count=6):
    """Random color images in the subfolders a and b. Returns each name with its array."""
    generator = np.random.default_rng(0)
    arrays = {f"{'ab'[i % 2]}/{i}.png": generator.integers(0, 256, (16, 16, 3), dtype=np.uint8) for i in range(count)}
    for name, array in arrays.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(array))
    return arrays


def test_a_folder_gives_its_images_and_classes(tmp_path, cache):
    arrays = write_folder(tmp_path)
    dataset = load(tmp_path, cache)
    class_of = {array.transpose(2, 0, 1).tobytes(): "ab".index(name[0]) for name, array in arrays.items()}
    contents = [image.numpy().tobytes() for image in dataset.images]
    assert set(contents) == set(class_of)
    assert [class_of[content] for content in contents] == dataset.labels.tolist()
    assert dataset.class_names == ("a", "b")


def test_images_are_resized_by_the_filter_that_is_chosen_also_with_a_cache_of_the_other(tmp_path, cache):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (tmp_path / "0.png").write_bytes(png(pixels))
    for chosen, resampling in {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}.items():
        expected = np.asarray(Image.fromarray(pixels).resize((32, 32), resampling))
        for settings in [{"resize": chosen}, *([{}] if chosen == "lanczos" else [])]:  # lanczos is the default
            (image,) = load(tmp_path, cache, image_size=32, **settings).images
            assert (image.permute(1, 2, 0).numpy() == expected).all()


def test_a_class_keeps_its_index_where_a_limit_leaves_others_out(tmp_path, cache):
    for index in range(30):
        (tmp_path / f"class{index:02}").mkdir()
        (tmp_path / f"class{index:02}" / "x.png").write_bytes(gray_png(index))
    dataset = load(tmp_path, cache, limit=5)
    assert dataset.labels.tolist() == dataset.images[:, 0, 0, 0].tolist() and len(dataset) == 5
    assert dataset.shape.class_count == 30


def test_only_readable_images_make_classes(tmp_path, cache):
    contents = {"cover.png": b"broken"}
    for index in range(4):
        contents[f"{'ab'[index % 2]}/{index}.png"] = gray_png(index)
        contents[f"__MACOSX/{'ab'[index % 2]}/._{index}.png"] = b"no image"
    dataset = load(write_zip(tmp_path / "from_macos.zip", contents), cache)
    assert dataset.labels.tolist() == (dataset.images[:, 0, 0, 0] % 2).tolist() and dataset.shape.class_count == 2


def test_a_zip_may_have_names_that_start_with_a_slash(tmp_path, cache):
    names = ("/red/a.png", "blue/b.png", "blue/c.png")
    dataset = load(write_zip(tmp_path / "images.zip", {name: gray_png(0) for name in names}), cache)
    assert sorted(dataset.labels.tolist()) == [0, 0, 1] and dataset.class_names == ("blue", "red")


def test_a_zip_gives_the_same_as_its_folder(tmp_path, cache):
    arrays = write_folder(tmp_path / "images")
    write_zip(tmp_path / "images.zip", {name: png(array) for name, array in arrays.items()})
    from_folder, from_zip = (load(tmp_path / name, cache) for name in ("images", "images.zip"))
    assert torch.equal(from_folder.images, from_zip.images) and torch.equal(from_folder.labels, from_zip.labels)


def test_a_folder_without_subfolders_has_no_classes(tmp_path, cache):
    (tmp_path / "x.png").write_bytes(gray_png(0))
    dataset = load(tmp_path, cache)
    assert dataset.images.shape == (1, 1, 16, 16) and dataset.labels is None


def test_images_are_decoded_once_until_they_change(tmp_path, cache, monkeypatch):
    write_folder(tmp_path)
    images = load(tmp_path, cache).images
    with monkeypatch.context() as patch:
        patch.setattr(decode_all, "decode_image", None)  # decoding again would fail
        assert torch.equal(load(tmp_path, cache).images, images)
    (tmp_path / "a" / "0.png").write_bytes(png(np.zeros((16, 16, 3), np.uint8)))
    assert not torch.equal(load(tmp_path, cache).images, images)


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_images_are_decoded_again_where_the_cache_is_damaged(tmp_path, suffix):
    write_folder(tmp_path / "images")
    images = load(tmp_path / "images", tmp_path / "cache").images.clone()
    (cached,) = (tmp_path / "cache").glob(f"images-*{suffix}")
    cached.write_bytes(cached.read_bytes()[: cached.stat().st_size // 2])
    assert torch.equal(load(tmp_path / "images", tmp_path / "cache").images, images)


def test_the_cache_says_what_its_images_are(tmp_path):
    write_folder(tmp_path / "images")
    load(tmp_path / "images", tmp_path / "cache")
    (contents,) = (tmp_path / "cache").glob("*.json")
    about = json.loads(contents.read_text())
    assert (about["images"], about["source"]) == (6, f"dataset.path={tmp_path / 'images'}")


def test_unreadable_images_are_counted_and_named(tmp_path, cache, caplog):
    write_folder(tmp_path)
    (tmp_path / "a" / "cut.png").write_bytes(gray_png(0)[:40])
    (tmp_path / "a" / "text.jpg").write_text("no image")
    (tmp_path / "a" / "notes.txt").write_text("no image, and not named like one")
    assert len(load(tmp_path, cache)) == 6
    assert "2 unreadable images" in caplog.text and "cut.png" in caplog.text and "text.jpg" in caplog.text
    assert "notes.txt" not in caplog.text


@pytest.mark.parametrize("is_zip", [False, True])
def test_files_that_are_no_images_are_counted_by_their_ending(tmp_path, cache, is_zip):
    names = ["a.heic", "b.HEIC", "c/d.txt", "c/notes", ".DS_Store", "c/._1.png"]
    contents = {"1.png": gray_png(1), "c/2.png": gray_png(2), "3.png": b"broken"} | dict.fromkeys(names, b"x")
    if is_zip:
        source = write_zip(tmp_path / "images.zip", contents)
    else:
        source = tmp_path
        (tmp_path / "c").mkdir()
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
    assert load(source, cache).skipped == {".heic": 2, ".txt": 1, "without ending": 1, "unreadable": 1, "hidden": 2}


def test_an_image_that_is_unreadable_for_a_moment_is_not_left_out(tmp_path, cache, monkeypatch):
    def fail(_path):
        raise OSError(errno.EMFILE, "too many open files")

    write_folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(files, "open_file", fail)
        with pytest.raises(OSError, match="too many open files"):
            load(tmp_path, cache, image_size=16, channels=3)
    assert len(load(tmp_path, cache, image_size=16, channels=3)) == 6


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        ("1", 1),
        ("L", 200),
        ("LA", (200, 255)),
        ("I;16", 200 * 257),
        ("P", 200),
        ("RGB", (200,) * 3),
        ("RGBA", (200, 200, 200, 255)),
        ("CMYK", (55, 55, 55, 0)),
    ],
)
def test_every_pixel_format_is_decoded(tmp_path, cache, mode, value):
    image = Image.new(mode, (16, 16), value)
    if mode == "P":
        image.putpalette([i // 3 for i in range(768)])
    image.save(tmp_path / ("x.tif" if mode in ("CMYK", "I;16") else "x.png"))
    images = load(tmp_path, cache, channels=3).images
    assert images.shape == (1, 3, 16, 16)
    assert (images.float() - (255 if mode == "1" else 200)).abs().max() <= 1


def test_transparent_pixels_are_white(tmp_path, cache):
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert (load(tmp_path, cache).images == 255).all()


def test_images_of_any_size_are_cropped_to_squares_around_the_center(tmp_path, cache):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    (tmp_path / "wide.png").write_bytes(png(wide))
    (tmp_path / "tall.png").write_bytes(png(wide.transpose(1, 0, 2)))
    with pytest.raises(ConfigError, match=r"dataset\.image_size.* 8 to 256"):
        load(tmp_path, cache)
    (tmp_path / "square.png").write_bytes(png(wide[:20, :20]))
    with pytest.raises(ConfigError, match=r"dataset\.image_size"):
        load(tmp_path, cache)
    (tmp_path / "square.png").unlink()
    images = load(tmp_path, cache, image_size=10).images
    assert images.shape == (2, 1, 10, 10) and (images[:, :, 2:8, 2:8] > 250).all()


def test_a_limit_takes_images_from_all_subfolders(tmp_path, cache):
    write_folder(tmp_path, count=40)
    dataset = load(tmp_path, cache, limit=20)
    assert len(dataset) == 20 and set(dataset.labels.tolist()) == {0, 1}
    assert torch.equal(dataset.images, load(tmp_path, cache).images[:20])


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "has no images"),
        (lambda path: path.write_text("text"), "neither a folder nor"),
        (lambda path: write_zip(path, {"x.png": b""}), "none of the 1 images.*x.png"),
    ],
    ids=["missing", "empty", "text", "unreadable"],
)
def test_a_path_without_readable_images_is_a_config_error_that_names_it(tmp_path, cache, create, message):
    create(tmp_path / "images")
    with pytest.raises(ConfigError, match=message) as error:
        load(tmp_path / "images", cache)
    assert f"dataset.path={tmp_path / 'images'}" in str(error.value)


def test_the_home_folder_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "pics (1)")
    assert len(load("~/pics (1)", tmp_path / "cache")) == 6
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_folder(Path("~"), count=2)
    assert len(load("~", tmp_path / "cache")) == 2  # a folder of that name comes first
    with pytest.raises(ConfigError, match=r"dataset\.path=~no-such-user/x does not exist"):
        load("~no-such-user/x", tmp_path / "cache")


ABOUT = {
    "source": "x", "images": 2, "classes": ["a", "b"], "labels": [0, 1], "missing": "",
    "unreadable": [], "skipped": {}, "scales": {}, "notes": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("array", "contents"),
    [
        (np.zeros((2, 3, 16, 16), np.float32), ABOUT),
        (np.zeros((2, 3 * 16 * 16), np.uint8), ABOUT),
        (np.zeros((1, 3, 16, 16), np.uint8), ABOUT),
        (np.zeros((2, 4, 16, 16), np.uint8), ABOUT),
        (np.array([{}, {}], object), ABOUT),
        (None, []),
        (None, {}),
        (None, ABOUT | {"unreadable": None}),
        (None, ABOUT | {"unreadable": [1]}),
        (None, ABOUT | {"classes": ["a"]}),
        (None, ABOUT | {"labels": [0, 1, 1]}),
        (None, ABOUT | {"labels": [0, -1]}),
        (None, ABOUT | {"labels": [0, "1"]}),
        (None, ABOUT | {"scales": {"integer": [0.0]}}),
        (None, ABOUT | {"notes": {"values": 8}}),
    ],
)
def test_images_are_decoded_again_where_the_cache_is_of_another_form(tmp_path, caplog, array, contents):
    write_folder(tmp_path / "images", count=2)
    images = load(tmp_path / "images", tmp_path / "cache").images.clone()
    (cached,) = (tmp_path / "cache").glob("images-*.npy")
    if array is not None:
        np.save(cached, array)
    cached.with_suffix(".json").write_text(json.dumps(contents))
    again = load(tmp_path / "images", tmp_path / "cache")
    assert torch.equal(again.images, images) and again.class_names == ("a", "b")
    assert cached.name in caplog.text


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_cache_of_images_that_cannot_be_read_is_an_error_and_stays(tmp_path, monkeypatch, suffix):
    write_folder(tmp_path / "images")
    load(tmp_path / "images", tmp_path / "cache")
    (cached,) = (tmp_path / "cache").glob(f"images-*{suffix}")
    content = cached.read_bytes()

    def fail(*_args, **_kwargs):
        raise OSError(errno.EIO, "Input/output error", str(cached))

    with monkeypatch.context() as patch:
        patch.setattr(*((np, "load") if suffix == ".npy" else (Path, "read_text")), fail)
        with pytest.raises(OSError, match="Input/output"):
            load(tmp_path / "images", tmp_path / "cache")
    assert cached.read_bytes() == content
