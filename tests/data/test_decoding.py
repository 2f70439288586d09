"""From image files to squares of uint8 values: scale, color, background, resizing."""

import io
import struct
import sys
import zlib
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from gan.config.errors import ConfigError
from gan.data import decode_all, decoding
from tests.data.image_files import brightness, encode, gray_png, load, png, write_folder

RANDOM = np.random.default_rng(0)


def deep_png(array):
    """A PNG with 16 bits from an array uint16 (H, W, C), which Pillow cannot write."""
    height, width, channels = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def flat_deep(*values):
    return deep_png(np.full((16, 16, len(values)), values, np.uint16))


def tiff(value, kind=np.float32):
    return encode(Image.fromarray(np.full((16, 16), value, kind)), "tiff")


@pytest.mark.parametrize(
    ("files", "expected", "note"),
    [
        ([flat_deep(value) for value in (0, 1000, 4095)], [0, 62, 255], "4095 is white"),
        ([flat_deep(value) for value in (0, 1000, 1023)], [0, 249, 255], "1023 is white"),
        ([flat_deep(value) for value in (0, 9000, 16000)], [0, 140, 249], "16383 is white"),
        ([flat_deep(value) for value in (0, 40000, 65535)], [0, 156, 255], "65535 is white"),
        ([flat_deep(value) for value in (0, 100, 250)], [0, 100, 250], "255 is white"),
        ([flat_deep(value, value, value) for value in (0, 1000, 4095)], [0, 62, 255], "4095 is white"),
        ([flat_deep(1000, 65535), flat_deep(4095, 65535)], [62, 255], "4095 is white"),
        ([tiff(50), tiff(200)], [50, 200], "255 is white"),
        ([tiff(0.25), tiff(0.5)], [64, 128], "1 is white"),
        ([tiff(-0.5), tiff(1)], [64, 255], "-1 is black and 1 is white"),
        ([tiff(100_000), tiff(400_000)], [64, 255], "400000 is white"),
        ([tiff(1000, np.uint16), tiff(4000, np.uint16)], [62, 249], "4095 is white"),
        ([tiff(100_000, np.int32), tiff(400_000, np.int32)], [64, 255], "400000 is white"),
        ([flat_deep(1000), flat_deep(4095), gray_png(7)], [7, 62, 255], "8 bits"),
    ],
)
def test_all_images_with_more_than_8_bits_have_one_scale(tmp_path, files, expected, note):
    write_folder(tmp_path / "x", {f"{number}.png": content for number, content in enumerate(files)})
    dataset = load(tmp_path / "x", tmp_path / "cache")
    assert sorted(brightness(dataset)) == expected and note in dataset.notes["values"]
    assert dataset.images.shape[1] == 1


def test_a_color_image_of_16_bits_keeps_its_12_bits(tmp_path):
    write_folder(tmp_path / "x", {"0.png": flat_deep(4095, 2048, 0), "1.png": flat_deep(0, 0, 0)})
    dataset = load(tmp_path / "x", tmp_path / "cache")
    assert sorted(dataset.images[:, :, 0, 0].tolist()) == [[0, 0, 0], [255, 128, 0]]


@pytest.mark.parametrize(
    ("files", "max_value", "expected"),
    [
        ([flat_deep(1000), flat_deep(2000)], 2000, [128, 255]),
        ([flat_deep(1000), flat_deep(3000)], 2000, [128, 255]),  # what is above is white
        ([tiff(50), tiff(200)], 200, [64, 255]),
        ([gray_png(0), gray_png(8), gray_png(16)], 16, [0, 128, 255]),
    ],
)
def test_max_value_sets_what_is_white(tmp_path, files, max_value, expected):
    write_folder(tmp_path / "x", {f"{number}.png": content for number, content in enumerate(files)})
    dataset = load(tmp_path / "x", tmp_path / "cache", max_value=max_value)
    assert sorted(brightness(dataset)) == expected and f"{max_value} is white" in dataset.notes["values"]


def test_test_images_have_the_scale_and_the_channels_of_the_training_images(tmp_path):
    write_folder(tmp_path / "x/train", {"0.png": flat_deep(4000), "1.png": flat_deep(900, 0, 0)})
    write_folder(tmp_path / "x/test", {"2.png": flat_deep(900)})
    train, test = (load(tmp_path / "x", tmp_path / "cache", split) for split in ("train", "test"))
    assert train.shape == test.shape and test.images.flatten().unique().tolist() == [56]  # 900 / 4095, and not / 1023


def test_color_is_decided_from_all_images(tmp_path, monkeypatch):
    monkeypatch.setattr("gan.data.image_cache.BLOCK", 50)
    contents = {f"{number}.png": gray_png(number) for number in range(200)}
    gray = load(write_folder(tmp_path / "gray", contents), tmp_path / "cache")
    assert gray.images.shape == (200, 1, 16, 16) and gray.notes["channels"].startswith("gray")
    for name in contents:  # in whichever place it comes
        if int(name[:-4]) % 40 == 0:
            content = encode(Image.new("RGB", (16, 16), (250, 0, 0)))
            color = load(write_folder(tmp_path / name, contents | {name: content}), tmp_path / "cache")
            assert color.images.shape == (200, 3, 16, 16) and name in color.notes["channels"]
            is_red = color.images[:, 0, 0, 0] == 250
            assert is_red.sum() == 1 and torch.equal(color.images[~is_red], gray.images[~is_red].expand(-1, 3, -1, -1))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_gray_that_is_stored_as_color_is_gray(tmp_path, kind, mode):
    image = Image.fromarray(RANDOM.integers(0, 256, (16, 16), dtype=np.uint8))
    modes = {"jpeg": ["RGB"], "webp": ["RGB", "RGBA"]}.get(kind, ["RGB", "RGBA", "P"])
    image = image.convert(mode if mode in modes else "RGB")
    lossless = {"lossless": True} if kind == "webp" else {}
    write_folder(tmp_path / "x", {"0": encode(image, kind, **lossless)})
    assert load(tmp_path / "x", tmp_path / "cache").images.shape == (1, 1, 16, 16)
    assert load(tmp_path / "x", tmp_path / "cache", channels=3).images.shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("background", "expected"),
    [("white", [255] * 3), ("black", [0] * 3), ("#ff8000", [255, 128, 0]), ("rgb(1, 2, 3)", [1, 2, 3])],
)
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "16 bits"])
def test_transparent_pixels_show_the_background(tmp_path, background, expected, mode):
    image = Image.new("RGBA", (16, 16), (90, 90, 90, 255))
    image.paste((90, 90, 90, 0), (0, 0, 8, 16))
    content = encode(image.convert(mode) if mode in ("LA", "P") else image)
    if mode == "16 bits":
        content = deep_png(np.array(image).astype(np.uint16) * 257)
    write_folder(tmp_path / "x", {"0.png": content})
    dataset = load(tmp_path / "x", tmp_path / "cache", background=background, channels=3)
    assert dataset.images[0, :, 0, 0].tolist() == expected
    assert dataset.images[0, :, 0, 12].tolist() == [90] * 3


def test_a_checker_shows_what_is_transparent(tmp_path):
    write_folder(tmp_path / "x", {"0.png": encode(Image.new("RGBA", (16, 16)))})
    (image,) = load(tmp_path / "x", tmp_path / "cache", background="checker").images
    assert image.unique().tolist() == [204, 255] and image[0, 0, 0] != image[0, 0, 2]


def test_what_is_no_background_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.background=chess.*checker"):
        load(tmp_path, tmp_path, background="chess")


def drawing(ink, opacity=255):
    image = Image.new("RGBA", (16, 16))
    image.paste((*ink, opacity), (4, 4, 12, 12))
    return encode(image)


def test_images_that_their_background_hides_are_warned_of(tmp_path, caplog):
    contents = {"white.png": drawing((255,) * 3), "black.png": drawing((0,) * 3), "opaque.png": gray_png(255)}
    contents |= {"veil.png": encode(Image.new("RGBA", (16, 16), (9, 9, 9, 100)))}
    write_folder(tmp_path / "x", contents | {"empty.png": encode(Image.new("RGBA", (16, 16)))})
    load(tmp_path / "x", tmp_path / "cache", channels=3)
    assert "2 of 5 images" in caplog.text and "dataset.background=black" in caplog.text
    caplog.clear()
    load(tmp_path / "x", tmp_path / "cache", channels=3)  # from the cache
    assert "2 of 5 images" in caplog.text
    caplog.clear()
    load(tmp_path / "x", tmp_path / "cache", background="#80c0ff")
    assert "1 of 5 images" in caplog.text and "empty.png" in caplog.text


def full_decode(content, size):
    """The image decoded in full, and then resized."""
    image = Image.open(io.BytesIO(content))
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS)).astype(int)


@pytest.mark.parametrize("side", [56, 112, 224, 448])
def test_a_jpeg_is_resized_from_at_least_four_times_the_side(tmp_path, side):
    pixels = RANDOM.integers(0, 256, (side // 4, side // 4), dtype=np.uint8)
    content = encode(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), "jpeg", quality=95)
    write_folder(tmp_path / "x", {"0.jpg": content})
    (image,) = load(tmp_path / "x", tmp_path / "cache", image_size=28).images
    difference = np.abs(image[0].numpy() - full_decode(content, 28))
    assert difference.max() <= 2 and difference.mean() < 0.5


def test_each_filter_is_that_of_pillow(tmp_path):
    pixels = RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    write_folder(tmp_path / "x", {"0.png": png(pixels)})
    names = {"lanczos": "LANCZOS", "bilinear": "BILINEAR", "area": "BOX", "nearest": "NEAREST"}
    for resize, name in names.items():
        for size in (8, 12, 32):
            expected = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling[name]))
            (image,) = load(tmp_path / "x", tmp_path / "cache", image_size=size, resize=resize).images
            assert (image.permute(1, 2, 0).numpy() == expected).all()


def wide_image():
    """48 x 16 pixels, black, gray and white."""
    return png(np.repeat(np.array([[0, 128, 255]], np.uint8), 16, axis=1).repeat(16, axis=0))


@pytest.mark.parametrize("kind", ["png", "16 bits"])
def test_an_image_is_cropped_around_its_center_or_stretched(tmp_path, kind):
    content = wide_image()
    if kind == "16 bits":
        content = deep_png(np.asarray(Image.open(io.BytesIO(content))).astype(np.uint16)[..., None] * 257)
    write_folder(tmp_path / "x", {"0.png": content})
    settings = {"image_size": 12, "resize": "area"}
    center, stretched = (
        load(tmp_path / "x", tmp_path / "cache", crop=crop, **settings).images for crop in ("center", "none")
    )
    assert center.unique().tolist() == [128]
    assert stretched[0, 0, 0].tolist() == [0] * 4 + [128] * 4 + [255] * 4


def test_a_random_crop_depends_on_the_name_alone(tmp_path):
    gradient = png(np.arange(200, dtype=np.uint8)[None].repeat(16, axis=0))
    write_folder(tmp_path / "x", {f"{number}.png": gradient for number in range(40)})
    settings = {"image_size": 16, "crop": "random"}
    starts, again = (sorted(brightness(load(tmp_path / "x", tmp_path / cache, **settings))) for cache in ("1", "2"))
    assert starts == again and len(set(starts)) > 25 and min(starts) < 30 and max(starts) > 154


def test_an_image_turned_by_exif_is_upright_and_its_size_counts_so(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.arange(16, dtype=np.uint8)[None].repeat(16, axis=0) * 16)
    write_folder(tmp_path / "x", {"0.png": encode(image, exif=exif)})
    (turned,) = load(tmp_path / "x", tmp_path / "cache").images
    assert (turned[0].numpy() == np.arange(16)[:, None] * 16).all()


def test_decoding_can_be_stopped_at_once(tmp_path, monkeypatch):
    started = []

    def interrupted(_content, _fit, name, _scales):
        started.append(name)
        raise KeyboardInterrupt

    monkeypatch.setattr(decode_all, "decode_image", interrupted)
    write_folder(tmp_path / "x", {f"{number}.png": gray_png(0) for number in range(300)})
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path / "x", tmp_path / "cache", image_size=16)
    assert len(started) < 300 and not list((tmp_path / "cache").glob("images-*"))


READ = """
import os, re, sys
from pathlib import Path
from gan.data.decoding import Fit
from gan.data.image_folder import read_images
os.cpu_count = lambda: 64
kilobytes = lambda name: int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = kilobytes("VmRSS")
images, *_ = read_images(Path(sys.argv[1]), Path(sys.argv[1]) / ".cache", Fit(32))
print(len(images), (kilobytes("VmHWM") - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
@pytest.mark.parametrize("kind", ["16 bits", "opacity"])
def test_four_images_of_64_million_pixels_take_less_than_a_gigabyte_however_many_cores(tmp_path, process, kind):
    if kind == "opacity":
        content = encode(Image.new("RGBA", (8000, 8000), (1, 2, 3, 100)), compress_level=1)
    else:
        content = encode(Image.fromarray(np.arange(8000, dtype=np.uint16)[None].repeat(8000, axis=0)), compress_level=1)
    write_folder(tmp_path, {f"{number}.png": content for number in range(4)})
    done = process("-c", READ, str(tmp_path))
    count, megabytes = map(int, done.stdout.split())
    assert count == 4 and 100 < megabytes < 1000, done.stderr


@pytest.mark.parametrize("opacity", [200, 4000, 40_000, 65_535])
def test_opacity_of_16_bits_is_a_fraction_of_65535_however_little_there_is(tmp_path, opacity):
    write_folder(tmp_path / "x", {"0.png": deep_png(np.full((16, 16, 4), [65535] * 3 + [opacity], np.uint16))})
    dataset = load(tmp_path / "x", tmp_path / "cache", background="black")
    assert brightness(dataset) == [round(opacity / 257)]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("packed", [False, True])
def test_large_images_are_decoded_one_at_a_time(monkeypatch, kind, packed):
    held = mock.MagicMock()
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 100)
    monkeypatch.setattr(decoding, "LARGE_IMAGE", held)
    for side, count in ((10, 0), (11, 1)):
        array = np.zeros((side, 10), kind)
        decoding.decode_image(png(array) if packed else array, decoding.Fit(8))
        assert held.__enter__.call_count == held.__exit__.call_count == count


def test_what_is_said_of_dark_images_of_16_bits_holds_at_their_own_scale(tmp_path, caplog):
    values = np.full((16, 16, 4), [10, 20, 30, 65535], np.uint16)  # one value of 8 bits each, if 65535 were white
    values[4:12, 4:12, :3] = [100, 50, 90]
    write_folder(tmp_path / "x", {"0.png": deep_png(values)})
    dataset = load(tmp_path / "x", tmp_path / "cache", background="black")
    assert dataset.images.shape[1] == 3 and dataset.notes["channels"].startswith("color")
    assert "blank" not in dataset.notes and "blank" not in caplog.text
