"""The programs and the Python interface on points: train, sample, evaluate, look at data, report, sweep."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gan
from gan.system import files
from tests.conftest import narrow

RING = ["dataset=ring8", "dataset.count=640"]
SMALL = [
    *("model=points", *narrow("points"), "device=cpu", "noise.dim=2"),
    *("train.batch_size=16", "train.max_steps=3", "watch.samples=4", "watch.final_samples=4"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, module_train) -> Path:
    return module_train(tmp_path_factory.mktemp("points") / "run", "trick=[conditional]")


@pytest.fixture(scope="module")
def module_train(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def call(folder, *overrides, dataset=RING):
        return gan.train(*dataset, *SMALL, f"cache_dir={cache}", *overrides, folder=folder).folder

    return call


def last_line(done):
    return done.stderr.strip().splitlines()[-1]


def test_the_log_says_what_the_points_are(run):
    log = (run / "train.log").read_text()
    assert "640 points of 2 numbers" in log and "of 16 points" in log and " images of" not in log


def test_samples_are_an_array_of_points_that_can_be_trained_on(run, program, module_train, tmp_path):
    done = program("sample.py", f"run={run}", "n=20", f"out={tmp_path / 'a.npz'}", "device=cpu")
    assert done.returncode == 0 and "20 points" in done.stdout, done.stderr
    with np.load(tmp_path / "a.npz") as arrays:
        points, labels = arrays["points"], arrays["labels"]
    assert points.shape == (20, 2) and points.dtype == np.float32
    assert labels.tolist() == [index % 8 for index in range(20)]
    assert torch.equal(gan.load(run, device="cpu").sample(20), torch.from_numpy(points))
    np.save(tmp_path / "a.npy", points)
    own = module_train(tmp_path / "own", dataset=["dataset=points", f"dataset.path={tmp_path / 'a.npy'}"])
    assert files.read_json(own / "status.json")["data"]["images"] == 20


def test_a_grid_of_points_is_a_figure(run, program, tmp_path):
    done = program("sample.py", f"run={run}", "n=20", f"out={tmp_path / 'a.png'}", "class=3", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "a.png").width > 100


@pytest.mark.parametrize("kind", ["png", "gif", "interpolation"])
def test_other_formats_are_for_images(run, program, tmp_path, kind):
    done = program("sample.py", f"run={run}", f"format={kind}", f"out={tmp_path / 'a'}", "device=cpu")
    assert done.returncode == 1 and f"format={kind}" in last_line(done) and "npz" in last_line(done)


def test_a_generator_of_points_can_be_exported(run, tmp_path):
    loaded = gan.load(run, device="cpu")
    path = loaded.export(tmp_path / "g.safetensors")
    from gan.generator_file import load_generator

    noise, labels = torch.randn(5, 2), torch.arange(5)
    assert torch.equal(load_generator(path)(noise, labels), loaded.generator(noise, labels))
    assert "(N, 2)" in (tmp_path / "g.safetensors.md").read_text()


def test_an_evaluation_has_the_metrics_of_points_beside_real_points(run, program):
    done = program("gan.evaluate", f"run={run}", "n=100", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert "100 generated points against 128 test points of ring8" in " ".join(done.stdout.split())
    (row,) = json.loads((run / "scores.json").read_text())
    assert {"wasserstein", "modes_found", "high_quality", "mode_kl", "discriminator_gap"} == row["scores"].keys()
    assert row["real_data"]["modes_found"]["mean"] == 8
    assert gan.load(run, device="cpu").score(100).keys() == row["scores"].keys()
    assert not (run / "figures" / "neighbors.png").exists()


@pytest.mark.parametrize("setting", ["features=inception", "stats=a.npz"])
def test_an_evaluation_of_points_takes_no_settings_of_images(run, program, setting):
    more = ["features=inception"] if setting.startswith("stats") else []
    done = program("gan.evaluate", f"run={run}", setting, *more, "n=100", "device=cpu")
    assert done.returncode == 1 and setting.split("=")[0] in last_line(done) and "points" in last_line(done)


def test_images_are_not_compared_with_points(program, tmp_path, cache):
    for number in range(100):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    line = [f"images={tmp_path}", "reference=ring8", f"cache_dir={cache}", "device=cpu"]
    done = program("gan.evaluate", *line)
    assert done.returncode == 1 and "reference=ring8" in last_line(done) and "points" in last_line(done)


def test_one_can_look_at_points(program, tmp_path):
    done = program("gan.data", "spiral", "dataset.count=100", f"out={tmp_path / 'a.png'}")
    assert done.returncode == 0 and "100 points of 2 numbers" in done.stdout and "2 classes" in done.stdout, done.stderr
    assert Image.open(tmp_path / "a.png").width > 100


def test_a_report_ranks_runs_on_points_by_their_distance(module_train, program, tmp_path):
    for seed in (0, 1):
        module_train(tmp_path / f"seed{seed}", f"seed={seed}", "watch.scores_every=3", "watch.scores_images=100")
    done = program("gan.report", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert "wasserstein" in page and "generated points against" in page


def test_a_sweep_over_points_has_a_table_and_a_contact_sheet(program, cache, tmp_path):
    sweep = ["trick=[],[r1]", "watch.scores_every=2", "watch.scores_images=100"]
    done = program("train.py", "-m", *RING, *SMALL, *sweep, f"cache_dir={cache}", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "wasserstein" in (tmp_path / "sweep.csv").read_text().splitlines()[0]
    assert Image.open(tmp_path / "sweep.png").height > 300  # figures of 256 pixels, not tiles of 64


@pytest.mark.parametrize("typed", ["format=explorer", "like=x.png"])
def test_what_searches_or_shows_images_is_not_for_points(run, program, typed):
    done = program("sample.py", f"run={run}", typed)
    assert done.returncode == 1 and typed.partition(".")[0].split("=x")[0] in last_line(done)
    assert "is for images, and this run generates points of 2 numbers." in last_line(done)
