"""Image files from a stranger: only some formats, none of too many pixels, on every road in."""

import io
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from gan import sampling
from gan.config.errors import ConfigError
from gan.data import decoding, image_folder, sources
from gan.data.decoding import Fit
from gan.report.claim_page import claims_page
from gan.report.contents import Report
from gan.report.documents import markdown_report
from gan.report.page import Page
from gan.report.runs import find_runs
from gan.system import images
from tests.report.conftest import write_claim_run

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"


def roads(folder: Path, content: bytes) -> list:
    """Each way on which an image file of a stranger is opened, with `content` in it."""
    run = folder / "run"
    write_claim_run(run, "experiment=blog/log_sigmoid", state="diverged", steps=20_000, error="x.")
    (run / "samples").mkdir()
    (run / "figures").mkdir()
    (folder / "images").mkdir()
    for path in ("run/samples/step_0000001.png", "run/final.png", "run/figures/losses.png", "images/a.png"):
        (folder / path).write_bytes(content)
    Image.new("L", (16, 16)).save(folder / "images" / "good.png")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for path in (folder / "images").iterdir():
            archive.write(path, path.name)
    runs = find_runs([run])
    return [
        lambda: image_folder.read_images(folder / "images", folder / "1", Fit(16, 1))[0].shape[0] == 1,
        lambda: image_folder.read_images(folder / "images.zip", folder / "2", Fit(16, 1))[0].shape[0] == 1,
        lambda: sampling.write_samples_gif(run, 4) is None and not (run / "samples.gif").exists(),
        lambda: (
            "<img" not in Page(Report(runs, folder)).html() and "step_0000001" in markdown_report(Report(runs, folder))
        ),
        lambda: "[losses]" not in "\n".join(claims_page(runs, folder / "out")),
    ]


@pytest.fixture
def no_program(monkeypatch):
    """Fails where Pillow would start Ghostscript, or anything else."""
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))


@pytest.mark.parametrize("kind", ["eps", "ico", "psd", "cut", "empty", "pdf", "crc"])
def test_a_file_that_is_no_image_of_the_list_is_left_out_on_every_road(tmp_path, no_program, kind):
    good = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64) * 37).save(good, "png")
    icon = io.BytesIO()
    Image.new("RGB", (16, 16)).save(icon, "ico")
    flipped = bytearray(good.getvalue())
    flipped[len(flipped) // 2] ^= 1
    content = {
        "eps": EPS,
        "ico": icon.getvalue(),
        "psd": b"8BPS" + bytes(100),
        "cut": good.getvalue()[:-40],
        "empty": b"",
        "pdf": b"%PDF-1.4\n",
        "crc": bytes(flipped),
    }[kind]
    assert [road() for road in roads(tmp_path, content)] == [True] * 5


def test_a_decompression_bomb_is_not_decoded_on_any_road(tmp_path, monkeypatch):
    """81 million pixels in 10 kB, of which Pillow only warns."""
    bomb = io.BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "png")
    load = ImageFile.ImageFile.load

    def guarded_load(image):
        assert image.width * image.height <= images.MAX_PIXELS, "it was decoded"
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", guarded_load)
    assert [road() for road in roads(tmp_path, bomb.getvalue())] == [True] * 5


def test_a_jpeg_is_decoded_small_however_large_it_is(tmp_path):
    """Of 100 million pixels, an eighth of each side is decoded where 16 pixels are asked for."""
    Image.new("RGB", (10_000, 10_000), (200, 100, 50)).save(tmp_path / "large.jpg")
    images, *_ = image_folder.read_images(tmp_path, tmp_path / "cache", Fit(16))
    assert images.shape == (1, 3, 16, 16)
    with pytest.raises(ConfigError, match="10000x10000"):
        image_folder.read_images(tmp_path, tmp_path / "cache", Fit(0))


def test_every_format_of_the_list_is_read(tmp_path):
    for kind in ("png", "jpeg", "webp", "tiff", "bmp", "gif", "ppm", "avif"):
        if kind.upper() in images.available_formats():
            Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / f"x.{kind}")
            assert images.image_size(tmp_path / f"x.{kind}") == (16, 16)
            assert images.read_image(tmp_path / f"x.{kind}").size == (16, 16)
            assert images.may_be_image((tmp_path / f"x.{kind}").read_bytes()[: sources.START_BYTES])


def test_the_frames_of_a_gif_share_a_budget_of_memory(tmp_path, monkeypatch):
    (tmp_path / "samples").mkdir()
    for step in range(40):
        Image.new("L", (10, 10), step).save(tmp_path / "samples" / f"step_{step:07d}.png")
    monkeypatch.setattr(sampling, "MAX_GIF_PIXELS", 1000)
    sampling.write_samples_gif(tmp_path, 4)
    with Image.open(tmp_path / "samples.gif") as gif:
        assert 2 <= gif.n_frames <= 10


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    together, most, lock = 0, 0, threading.Lock()
    fit = decoding.fit_image

    def counted(*arguments):
        nonlocal together, most
        with lock:
            together, most = together + 1, max(most, together + 1)
        time.sleep(0.01)
        result = fit(*arguments)
        with lock:
            together -= 1
        return result

    monkeypatch.setattr(decoding, "fit_image", counted)
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 100)
    for number in range(6):
        Image.new("L", (16, 16), number).save(tmp_path / f"{number}.png")
    image_folder.read_images(tmp_path, tmp_path / "cache", Fit(16, 1))
    assert most == 1
