"""Images of any folder, archive or array are scored against others, or against statistics in a file, without a run."""

import shutil

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import nn

from gan import evaluate as evaluation
from gan import metrics
from gan.config.errors import ConfigError
from gan.metrics import features
from gan.report.cells import Number
from tests.conftest import CONF
from tests.metrics.conftest import save_script


class Blocks(nn.Module):
    """Mean and greatest value of each channel as features, whatever the size."""

    def forward(self, images):
        return torch.cat([images.float().mean((2, 3)), images.float().amax((2, 3))], dim=1)


def pixels(count, seed, size=8, channels=1):
    """Images (N, C, H, W) of two kinds, dark and light in turn."""
    values = np.random.default_rng(seed).integers(0, 100, (count, channels, size, size))
    return (values + 100 * (np.arange(count) % 2)[:, None, None, None]).astype(np.uint8)


def save_folder(folder, images):
    """As PNGs in a folder for each of the two kinds."""
    for number, image in enumerate(images):
        path = folder / f"kind{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze(0) if len(image) == 1 else image.transpose(1, 2, 0)).save(path)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with two folders of images and a network."""
    monkeypatch.chdir(tmp_path)
    save_folder(tmp_path / "one", pixels(140, 0))
    save_folder(tmp_path / "other", pixels(120, 1) // 2)
    save_script(Blocks(), tmp_path / "net.pt")
    for name, value in {"EPOCHS": 1, "MIN_STEPS": 20, "MIN_ACCURACY": 0}.items():
        monkeypatch.setattr(features, name, value)
    return tmp_path


NET = ["features=net.pt", "trust=true"]


@pytest.fixture
def evaluate(cache):
    """`gan.evaluate` in this process."""

    def call(*arguments):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            evaluation.evaluate(compose("evaluate", overrides=[*arguments, f"cache_dir={cache}", "device=cpu"]))

    return call


def column(output, name):
    """The cells of the column that begins with `name`, below the one for the better direction."""
    (block,) = [block for block in output.split("\n\n") if f"  {name}" in block.splitlines()[0]]
    head, _, *rows = block.splitlines()
    names = head.split()
    (number,) = [number for number, each in enumerate(names) if each.startswith(name)]
    return [row.split()[-len(names) :][number] for row in rows]


def fid_of(images, reference):
    """As it is printed."""
    images, reference = (torch.from_numpy(each).expand(-1, 3, -1, -1) for each in (images, reference))
    return str(Number(metrics.fid(images, reference, Blocks())))


def test_the_program_scores_a_folder_against_another_one(program, place, cache):
    done = program(
        "gan.evaluate", "images=one", "reference=other", *NET, f"cache_dir={cache}", "device=cpu", folder=place
    )
    assert done.returncode == 0, done
    assert "one: 140 images, 8x8x1" in done.stdout
    flat = " ".join(done.stdout.split())
    assert "140 generated against 120 train images of image_folder-" in flat and "features of net-" in flat
    assert column(done.stdout, "fid_net_")[0] == fid_of(pixels(140, 0), pixels(120, 1) // 2)
    assert "kid_net_" in done.stdout and "inception_score" not in done.stdout and "modes" not in done.stdout


@pytest.mark.parametrize("form", ["zip", "npz", "npy"])
def test_archives_and_arrays_have_the_score_of_the_folder(evaluate, place, capsys, form):
    path = place / f"same.{form}"
    if form == "zip":
        shutil.make_archive(str(place / "same"), "zip", place / "one")
    elif form == "npz":
        np.savez(path, images=pixels(140, 0)[:, 0])
    else:
        np.save(path, pixels(140, 0).transpose(0, 2, 3, 1))
    evaluate(f"images=[one,{path.name}]", "reference=other", "parzen=false", *NET)
    first, second, _ = column(capsys.readouterr().out, "fid_net_")
    assert first == second == fid_of(pixels(140, 0), pixels(120, 1) // 2)


def test_the_classifier_of_the_reference_is_the_default_and_has_the_scores_of_runs(evaluate, place, capsys):
    evaluate("images=one", "reference=other", "parzen=false")
    output = capsys.readouterr().out
    assert all(f"{name}_image_folder" in output for name in ("fid", "kid", "recall", "classifier_score"))
    assert "modes_in_100" in output and "pixel_precision" in output


@pytest.mark.slow
def test_a_reference_may_be_a_dataset_by_its_name_and_has_a_baseline(evaluate, place, capsys):
    evaluate("images=one", "reference=digits", "image_size=28", "n=100", "parzen=false", *NET)
    output = capsys.readouterr().out
    assert "100 generated against 4000 test images of digits-" in " ".join(output.split())
    images, real = column(output, "fid_net_")
    assert float(real.replace(",", "")) < float(images.replace(",", "")) / 5


def test_written_statistics_serve_in_place_of_the_images(evaluate, place, capsys):
    evaluate("reference=other", "write_stats=other.npz", *NET)
    assert "other.npz: statistics of 120 images" in capsys.readouterr().out
    evaluate("images=one", "stats=other.npz", *NET)
    output = capsys.readouterr().out
    line = " ".join(output.split())
    assert "140 generated against the statistics other.npz-" in line
    assert column(output, "fid_net_")[0] == fid_of(pixels(140, 0), pixels(120, 1) // 2)
    assert "kid" not in output and "precision" not in output and "parzen" not in output
    evaluate("images=other", "write_stats=same.npz", *NET)
    with np.load("other.npz") as one, np.load("same.npz") as same:
        assert np.allclose(one["mu"], same["mu"]) and np.allclose(one["sigma"], same["sigma"])


def test_the_flag_of_pytorch_fid_writes_statistics(program, place, cache):
    done = program(
        "gan.evaluate",
        *("images=one", "--write-stats", "one stats.npz", *NET, f"cache_dir={cache}", "device=cpu"),
        folder=place,
    )
    assert done.returncode == 0 and (place / "one stats.npz").is_file(), done


def test_gray_images_are_compared_with_color_as_gray_in_color(evaluate, place, capsys):
    colors = pixels(130, 2, channels=3)
    save_folder(place / "color", colors)
    evaluate("images=one", "reference=color", "parzen=false", *NET)
    assert column(capsys.readouterr().out, "fid_net_")[0] == fid_of(pixels(140, 0), colors)
    with pytest.raises(ConfigError, match=r"images=color.*in color.*gray"):
        evaluate("images=color", "reference=one", *NET)


def test_images_are_resized_with_the_reference(evaluate, place, capsys):
    save_folder(place / "large", pixels(120, 3, size=16))
    with pytest.raises(ConfigError, match=r"images=large.*16x16.*8x8; type image_size=8"):
        evaluate("images=large", "reference=one", *NET)
    evaluate("images=large", "reference=one", "image_size=8", "parzen=false", *NET)
    assert "large: 120 images, 8x8x1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "run=RUN.*images=FOLDER"),
        (["reference=other"], "run=RUN.*images=FOLDER"),
        (["images=one"], "reference=mnist"),
        (["images=one", "run=x", "reference=other"], "images: not with run"),
        (["run=x", "reference=other"], "reference: not with run"),
        (["run=x", "write_stats=x.npz", *NET], "write_stats: not with run"),
        (["run=x", "image_size=32"], "image_size: not with run"),
        (["images=one", "reference=other", "stats=x.npz", *NET], "stats=x.npz: not with reference"),
        (["images=one", "stats=x.npz"], "features=classifier"),
        (["images=one", "write_stats=x.txt", *NET], r"write_stats=x\.txt"),
        (["images=[one,other]", "write_stats=x.npz", *NET], "of one folder"),
        (["images=nowhere", "reference=other", *NET], "images=nowhere does not exist"),
        (["images=one", "reference=nowhere", *NET], "reference=nowhere does not exist"),
        (["images=few", "reference=other", *NET], "images=few: has 20 images.*100"),
        (["images=one", "reference=few", *NET], "at least 100"),
        (["images=one", "reference=other", "n=200", *NET], "images=one: has 140 images.*200"),
        (["images=oblong", "reference=other", *NET], r"^image_size=null.*images=oblong"),
        (["images=one", "stats=x.npz", *NET], r"stats=x\.npz does not exist"),
        (["images=one", "reference=other", "features=net.pt"], "trust=true"),
        (["images=one", "reference=other", "features=none.pt"], "features=none.pt does not exist"),
        (["images=one", "reference=other", "image_size=5", *NET], "image_size=5"),
        (["images=5", "reference=other"], "images=5"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_a_config_error(evaluate, place, arguments, words):
    save_folder(place / "few", pixels(20, 4))
    Image.new("L", (8, 12)).save(place / "one.png")
    (place / "oblong").mkdir()
    (place / "one.png").rename(place / "oblong" / "one.png")
    with pytest.raises(ConfigError, match=words):
        evaluate(*arguments)


def test_a_name_that_is_also_a_folder_is_the_folder(evaluate, place, capsys):
    (place / "other").rename(place / "digits")
    evaluate("images=one", "reference=digits", "parzen=false", *NET)
    assert "120 train images of image_folder-" in " ".join(capsys.readouterr().out.split())
