"""The explorer's page, as it is written."""

import base64
import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan import export, sampling
from gan.config.errors import ConfigError
from gan.config.schema import Sampling
from gan.explorer import page
from gan.training import build
from tests.test_sample_files import sample

CPU = torch.device("cpu")
SMALL = ["train.max_steps=1", "dataset.image_size=12", "noise.dim=6"]


@pytest.fixture
def explore(train_here, tmp_path, monkeypatch):
    """`explore(overrides, *more)`: the page about a small run, with a stand-in for the exported generator."""
    monkeypatch.setattr(page, "write_onnx", lambda run, network: b"a generator")

    def write(overrides=(), *more):
        train_here(tmp_path / "run", *SMALL, *overrides)
        return sample(tmp_path / "run", "format=explorer", "n=5", *more).read_text("utf-8")

    return write


def embedded(text, name):
    return re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', text, re.DOTALL)[1]


def data_of(text):
    return json.loads(embedded(text, "data"))


def floats(encoded):
    return torch.from_numpy(np.frombuffer(base64.b64decode(encoded), "<f4").copy())


def test_the_page_has_the_generator_and_what_runs_it(explore):
    text = explore()
    parts = {name: gzip.decompress(base64.b64decode(embedded(text, name))) for name in ("model", "runtime", "wasm")}
    assert parts["model"] == b"a generator" and parts["wasm"].startswith(b"\0asm")
    assert parts["runtime"] == (page.WEB / page.RUNTIME).read_bytes()
    assert len(text) < 6e6 and explore() == text


def test_its_seeds_are_those_of_sample_py(explore, tmp_path):
    data = data_of(explore((), "seed=7", "truncation=0.5"))
    run = build.load_trained(tmp_path / "run", "last", True, CPU)
    expected = torch.cat([sampling.draw_noise(run.noise, 1, seed, "sample") for seed in range(7, 12)])
    assert torch.equal(floats(data["noise"]).view(5, 6), expected)
    assert data["seed"] == 7 and data["count"] == 5 and data["truncation"] == 0.5 and data["labels"] is None
    directions = floats(data["directions"]).view(-1, 6)
    assert torch.allclose(directions @ directions.T, torch.eye(6), atol=1e-5)


def test_classes_have_their_names_and_clusters_their_numbers(explore, tmp_path):
    assert 'id="class"' not in explore()
    text = explore(["trick=[conditional]"], "class=4")
    assert data_of(text)["labels"] == [4] * 5 and text.count("<option value=") == 10 + 2 * 6
    text = explore(["trick=[clusters]", "trick.clusters.count=3"])
    data = data_of(text)
    run = build.load_trained(tmp_path / "run", "last", True, CPU)
    noise = torch.cat([sampling.draw_noise(run.noise, 1, seed, "sample") for seed in range(5)])
    spread, labels = run.generator.clusters(noise)
    assert data["labels"] == labels.tolist() and data["classes"] == 3 and data["clusters"]
    assert torch.allclose(floats(data["noise"]).view(5, 6), spread)


def test_sphere_noise_has_no_truncation(explore):
    assert 'id="truncation"' in explore() and 'id="truncation"' not in explore(["noise.kind=sphere"])
    with pytest.raises(ConfigError, match="truncation"):
        explore(["noise.kind=sphere"], "truncation=0.5")


@pytest.mark.parametrize("template", ["explorer", "planes"])
def test_a_strangers_names_do_nothing_in_the_page(template, explore, tmp_path):
    evil = "</script><script>alert(1)</script>"
    data = data_of(explore()) | {"kind": evil, "names": [evil, "two"], "limit": 3.0}
    run = build.load_trained(tmp_path / "run", "last", True, CPU)
    text = page.render(run, Path("<b>run"), template, data, {}).decode()
    assert evil not in text and "<b>run" not in text and "&lt;b&gt;run" in text and data_of(text) == data


@pytest.mark.slow
def test_a_page_that_would_be_too_large_has_planes_of_images_in_place_of_the_generator(explore, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MAX_BYTES", 1_000_000)
    text = explore(["trick=[conditional]", "noise.kind=uniform"], "seed=3", "truncation=0.5")
    assert len(text) < 1e6 and 'id="model"' not in text and "ort" not in embedded(text, "data")[:20]
    data = data_of(text)
    run = build.load_trained(tmp_path / "run", "last", True, CPU)
    assert len(data["planes"]) == 5 and data["labels"] == [0, 1, 2, 3, 4] and data["seed"] == 3
    for index, seed in enumerate((3, 4)):
        with Image.open(io.BytesIO(base64.b64decode(data["planes"][index]))) as plane:
            pixels = np.array(plane)
        assert pixels.shape == (9 * 13 + 1, 9 * 13 + 1)
        noise = 0.5 * sampling.draw_noise(run.noise, 1, seed, "sample")
        expected = sampling.generate(run.generator, run.noise.nearest(noise), torch.tensor([index]), 1)[0, 0].numpy()
        assert np.abs(pixels[53:65, 53:65].astype(int) - expected).max() <= 1  # in the middle
        assert np.abs(pixels[1:13, 53:65].astype(int) - expected).max() > 1
    assert data_of(explore(["trick=[conditional]"], "class=4"))["labels"] == [4] * 5
    clusters = data_of(explore(["trick=[clusters]", "trick.clusters.count=3"]))
    run = build.load_trained(tmp_path / "run", "last", True, CPU)
    noise = torch.cat([sampling.draw_noise(run.noise, 1, seed, "sample") for seed in range(5)])
    _, labels = run.generator.clusters(noise)
    assert clusters["labels"] == labels.tolist() and clusters["clusters"]


@pytest.mark.slow
def test_planes_of_as_many_seeds_as_there_is_room_for(explore, monkeypatch):
    monkeypatch.setattr(page, "MAX_BYTES", 1_000_000)
    sizes = [len(plane) for plane in data_of(explore())["planes"]]
    monkeypatch.setattr(page, "MAX_PLANES", sum(sizes[:2]) + 10)
    assert [len(plane) for plane in data_of(explore())["planes"]] == sizes[:2]
    monkeypatch.setattr(page, "MAX_PLANES", 1000)
    with pytest.raises(ConfigError, match="format=explorer"):
        explore()


@pytest.mark.slow
def test_the_printed_line_says_of_how_many_seeds_a_page_has_images(train_here, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "write_onnx", lambda run, network: b"a generator")
    train_here(tmp_path / "run", *SMALL)
    run = build.load_trained(tmp_path / "run", "last", True, CPU)
    settings = {"n": 5, "class_": None, "seed": 0, "truncation": 1.0, "out": str(tmp_path / "x.html")}
    request = Sampling.model_construct(**settings)
    assert "seeds" not in page.write_page(run, tmp_path / "run", request, CPU)
    monkeypatch.setattr(page, "MAX_BYTES", 1_000_000)
    assert "5 of 5 seeds" in page.write_page(run, tmp_path / "run", request, CPU)
    planes = data_of((tmp_path / "x.html").read_text("utf-8"))["planes"]
    monkeypatch.setattr(page, "MAX_PLANES", len(planes[0]) + len(planes[1]) + 10)
    assert "2 of 5 seeds" in page.write_page(run, tmp_path / "run", request, CPU)


def test_too_many_seeds_and_a_missing_package_are_config_errors(explore, monkeypatch):
    with pytest.raises(ConfigError, match="n=20000"):
        explore((), "n=20000")
    monkeypatch.setattr(export, "is_installed", lambda package: False)
    with pytest.raises(ConfigError, match="onnxscript"):
        explore()
