"""The project installed from a wheel, in an empty folder far from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import CONF, ROOT, TINY

pytestmark = pytest.mark.slow


class Features(torch.nn.Module):
    """Images uint8 (B, 3, H, W) to features (B, 4): the mean gray of each quarter."""

    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float().mean(1), 2).flatten(1)


def pip(*arguments):
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, arguments)]
    subprocess.run(line, check=True, timeout=200, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the repository, so that building leaves nothing there."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".*", "outputs", "data", "docs", "tests", "__pycache__")
    shutil.copytree(
        ROOT, folder / "copy", ignore=lambda path, names: ignored(path, names) if Path(path) == ROOT else []
    )
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "copy")
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, cache, tmp_path_factory):
    """Run a command of the installed wheel in an empty folder. Returns its output."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    pip("install", "--no-deps", "--target", site, wheel)

    def call(*line: str, code: int = 0) -> str:
        command = [sys.executable, *(["-m"] if not line[0].startswith("-") else []), *line]
        if line[0].startswith("gan-"):
            command = [sys.executable, str(site / "bin" / line[0]), *line[1:]]
        environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    call.folder = folder
    return call


def test_a_wheel_has_the_packages_the_configuration_and_all_data_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        required = archive.read(metadata).decode()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    expected = {name for name in tracked if name.startswith(("gan/", "hydra_plugins/"))}
    expected |= {f"gan/{name}" for name in tracked if name.startswith("conf/")}
    assert expected <= names and not [
        name for name in names if name.startswith(("tests", "benchmarks", "conf", "docs"))
    ]
    assert not [name for name in names if "__pycache__" in name]
    assert "Requires-Dist: torch>=" in required and 'submitit-launcher<1.3,>=1.2; extra == "sweeps"' in required


@pytest.mark.filterwarnings("ignore::FutureWarning")  # TorchScript is deprecated
def test_everything_runs_from_an_empty_folder_by_command_and_from_python(installed, cache):
    small = [*TINY, f"cache_dir={cache}", "train.max_steps=3"]
    output = installed("gan", "train", *small, "hydra.run.dir=run")
    assert "python -m gan sample run=run" in output and "train.py" not in output
    assert "images of step 3" in installed("gan", "sample", "run=run", "n=4", "device=cpu", "out=grid.png")
    assert "fid_digits" in installed("gan", "evaluate", "run=run", "n=200", "device=cpu", f"cache_dir={cache}")
    assert "report.html" in installed("gan", "report", "run") and (installed.folder / "run" / "report.html").exists()
    assert "resume" not in installed("gan-train", *small, "hydra.run.dir=again")
    assert "images of step 3" in installed("gan-sample", "run=again", "n=1", "device=cpu")
    assert "report.html" in installed("gan-report", "again")
    # a foreign folder of images against another's statistics, on the features of a file
    for name, seed in (("real", 1), ("fakes", 2)):
        installed("gan", "sample", "run=run", "n=120", f"seed={seed}", "format=png", f"out={name}", "device=cpu")
    scripted = torch.jit.trace(Features(), torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    torch.jit.save(scripted, installed.folder / "features.pt")
    features = ["features=features.pt", "trust=true", f"cache_dir={cache}", "device=cpu"]
    installed("gan", "evaluate", "images=real", "write_stats=real.npz", *features)
    assert "fid_features_" in installed("gan", "evaluate", "images=fakes", "stats=real.npz", *features)
    assert "written to" in installed("gan", "sample", "run=run", "format=safetensors", "device=cpu", "out=g")
    script = """
import gan
images = gan.load("run").sample(120, seed=2)
print(gan.metrics.fid(images, "real.npz", "features.pt", trust=True) >= 0, gan.load("run").export("python.safetensors"))
"""
    assert "True python.safetensors" in installed("-c", script)
    assert (installed.folder / "python.safetensors.md").exists() and (installed.folder / "g.safetensors").exists()

    assert "images of step" in installed("gan", "sample", "run=zoo/mnist", "n=4", "device=cpu")
    assert (installed.folder / "outputs" / "generated" / "mnist" / "grid_seed0_n4.png").exists()

    sweep = installed("gan-train", "-m", "seed=1,2", *small, "hydra.sweep.dir=sweep")
    assert sweep.count(" finished ") == 2, sweep
    script = "import gan; run = gan.train(*{!r}, folder='python'); print(run.state, run.sample(2).shape, gan.load('run').step)"
    assert "finished torch.Size([2, 1, 28, 28]) 3" in installed("-c", script.format(small))


def test_help_and_options_of_ones_own_work_where_it_is_installed(installed, cache):
    text = installed("gan", "train", "--help")
    assert "python -m gan train" in text and "train.py" not in text
    assert "train|sample|evaluate|report|data" in installed("gan", "nosuch", code=1)
    own = installed.folder / "own" / "model"
    own.mkdir(parents=True)
    mine = yaml.safe_load((CONF / "model" / "mlp.yaml").read_text())
    mine["generator"]["hidden"] = mine["discriminator"]["hidden"] = [7]
    (own / "mine.yaml").write_text(yaml.dump(mine))
    small = [each for each in TINY if not each.startswith("model")]
    line = [*small, f"cache_dir={cache}", "train.max_steps=2", "model=mine", "hydra.run.dir=mine"]
    installed("gan", "train", "--config-dir=own", *line)
    written = yaml.safe_load((installed.folder / "mine" / ".hydra" / "config.yaml").read_text())
    assert written["model"]["generator"]["hidden"] == [7]
