"""Decoded images on the disk."""

import numpy as np
import pytest
import torch

from gan.data import image_cache
from tests.data.image_files import load, two_classes, write_folder


def cached(folder):
    return sorted(path.name for path in folder.glob("images-*.npy"))


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11])
@pytest.mark.parametrize("colored", [None, 0, 5, 8])
def test_images_are_written_in_the_order_they_come_also_where_color_comes_late(tmp_path, monkeypatch, count, colored):
    monkeypatch.setattr(image_cache, "BLOCK", 4)
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
    for index in range(count):
        if index != colored:
            images[index] = images[index, :1]
    with (tmp_path / "x.npy").open("xb") as file:
        writer = image_cache.ImageWriter(file, 8)
        for index, image in enumerate(images):
            writer.append(image if index == colored else image[:1])
        writer.write_header()
    is_color = colored is not None and colored < count
    assert np.array_equal(np.load(tmp_path / "x.npy"), images if is_color else images[:, :1])


def test_an_image_can_be_replaced_also_by_the_first_with_color(tmp_path):
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8), np.uint8)
    with (tmp_path / "x.npy").open("xb") as file:
        writer = image_cache.ImageWriter(file, 8)
        for image in images:
            writer.append(image)
        writer.replace(1, images[4])
        writer.replace(3, np.stack([images[4, 0], images[0, 0], images[0, 0]]))
        writer.write_header()
    written = np.load(tmp_path / "x.npy")[:, :, 0, 0].tolist()
    assert written == [[0] * 3, [4] * 3, [2] * 3, [4, 0, 0], [4] * 3]


def test_decoded_images_of_another_version_are_removed(tmp_path, monkeypatch):
    folder, cache = write_folder(tmp_path / "images", two_classes()), tmp_path / "cache"
    monkeypatch.setattr(image_cache, "VERSION", 99)
    load(folder, cache)
    old = cached(cache)
    (cache / "images-0123.npy").write_bytes(b"without a file about it")
    monkeypatch.undo()
    images = load(folder, cache).images
    new = cached(cache)
    assert old[0] not in new and len(new) == 2 and "images-0123.npy" in new  # which another process may be making
    assert {path.stem for path in cache.glob("images-*.json")} == {name[:-4] for name in new} - {"images-0123"}
    assert torch.equal(load(folder, cache).images, images)


def test_every_setting_that_changes_the_images_is_decoded_again(tmp_path):
    folder, cache = write_folder(tmp_path / "images", two_classes()), tmp_path / "cache"
    settings = [
        {}, {"channels": 3}, {"image_size": 8}, {"image_size": 8, "resize": "area"}, {"crop": "none"}, {"limit": 3},
        {"background": "black"}, {"max_value": 9},
    ]  # fmt: skip
    for number, more in enumerate(settings, 1):
        load(folder, cache, **more)
        assert len(cached(cache)) == number
    load(folder, cache, mirror=True)
    assert len(cached(cache)) == len(settings)


def test_files_that_are_not_of_this_project_stay_in_the_cache(tmp_path):
    cache = tmp_path / "cache"
    others = write_folder(cache, {"images-mine.json": b"{}", "images-mine.npy": b"x", "images-2.json": b"[]"})
    load(write_folder(tmp_path / "images", two_classes()), cache)
    assert len([*others.glob("images-mine.*"), *others.glob("images-2.json")]) == 3
