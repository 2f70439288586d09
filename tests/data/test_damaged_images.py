"""Damaged, strange and huge image files are skipped: no traceback, no hang, no gigabytes of memory."""

import io
import json
import os
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import event, given
from hypothesis import strategies as some
from PIL import Image

from gan.config.errors import ConfigError
from gan.data import decoding, image_folder, sources
from gan.data.decoding import Fit
from tests.damage import damaged, damages


def image(kind: str, mode: str) -> bytes:
    """An image file of 20 x 20 pixels; a GIF has three frames."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("RGB").convert(mode if mode != "I;16" else "L")
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    file = io.BytesIO()
    frames = {"save_all": True, "append_images": [image, image]} if kind == "gif" else {}
    image.save(file, format=kind, **frames)
    return file.getvalue()


IMAGES = [
    *(("png", mode) for mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16")),
    *(("jpeg", mode) for mode in ("L", "RGB", "CMYK")),
    *(("tiff", mode) for mode in ("1", "L", "RGB", "CMYK", "I;16", "F")),
    *(("gif", "P"), ("webp", "RGB"), ("webp", "RGBA"), ("bmp", "RGB"), ("bmp", "P"), ("ppm", "RGB"), ("ppm", "L")),
]
ENCODED = {f"{kind} {mode}": (kind, image(kind, mode)) for kind, mode in IMAGES}
GOOD = image("png", "RGB")
member_names = some.sampled_from(
    ["x", "a/x", "../x", "../../../../tmp/climbs-out", "/etc/x", "C:\\x", "a//x", "é", " ", "con", "x" * 200]
)


@given(
    some.lists(some.tuples(some.sampled_from(sorted(ENCODED)), some.data()), min_size=1, max_size=4), some.booleans()
)
def test_damaged_images_never_prevent_reading_the_intact_ones(damaged_files, zipped):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images"
        path.mkdir()
        contents = {"good0.png": GOOD, "good1.png": GOOD}
        for number, (which, data) in enumerate(damaged_files):
            kind, content = ENCODED[which]
            name = data.draw(member_names) if zipped else str(number)
            contents[f"{name}.{kind}"] = damaged(content, data.draw(damages(len(content))))
        if zipped:
            path = Path(folder) / "images.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
        else:
            for name, content in contents.items():
                (path / name).write_bytes(content)
        images, *_ = image_folder.read_images(path, Path(folder), Fit(16, 3))
        expected = torch.from_numpy(decoding.decode_image(GOOD, Fit(16, 3)).pixels)
        assert sum(torch.equal(image, expected) for image in images) >= 2
        event(f"{len(images) - 2} of {len(damaged_files)} read")


@given(some.data())
def test_a_damaged_zip_is_read_or_gets_one_sentence(data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.png", GOOD)
    content = file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.zip"
        path.write_bytes(damaged(content, data.draw(damages(len(content)))))
        try:
            images, *_ = image_folder.read_images(path, Path(folder), Fit(16, 3))
            assert images.shape[1:] == (3, 16, 16)
        except ConfigError as error:
            assert "\n" not in str(error) and str(error).endswith(".")
            event("not read")


def test_huge_images_are_skipped_and_take_no_memory(tmp_path, monkeypatch):
    """An image of 100 million pixels in 100 kB, one with more than Pillow allows, and a file larger than any image."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(GOOD)
    Image.new("1", (10_000, 10_000)).save(folder / "large.png")
    header = bytearray(GOOD)
    header[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    (folder / "claims.png").write_bytes(header)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", GOOD)
        with archive.open("bomb.png", "w") as member:
            for _ in range(sources.MAX_FILE_BYTES // 2**20 + 1):
                member.write(bytes(2**20))
    for path, bad in ((folder, ["claims.png", "large.png"]), (tmp_path / "bomb.zip", ["bomb.png"])):
        tracemalloc.start()
        images, *_ = image_folder.read_images(path, tmp_path / path.name[:4], Fit(16, 3))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        about = next((tmp_path / path.name[:4]).glob("*.json"))
        assert len(images) == 1 and sorted(json.loads(about.read_text())["unreadable"]) == bad
        assert most < 20 * 2**20


def test_broken_links_circular_links_and_pipes_are_skipped(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(GOOD)
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.png").symlink_to(tmp_path / "nothing.png")
    (folder / "endless.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "waits.png")
    images, *_ = image_folder.read_images(folder, tmp_path, Fit(16, 3))
    assert len(images) == 1
