"""A run from the command line: its folder, how it ends, how it goes on."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from tensorboard.program import TensorBoard

import sample
from gan import checkpoint
from gan.errors import Refused
from tests.conftest import CONF, ROOT

FILES = [
    ".hydra/config.yaml",
    ".hydra/overrides.yaml",
    ".hydra/hydra.yaml",
    "train.log",
    "status.json",
    "metrics.jsonl",
    "history.gif",
    "figures/losses.png",
    "figures/predictions.png",
    "checkpoints/last.pt",
]
HYDRAS = 4  # of them are written by Hydra


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def read_status(folder):
    return json.loads((folder / "status.json").read_text())


def assert_whole(folder, hydra=True):
    """Every file that a run folder should hold is there and opens."""
    for name in FILES[0 if hydra else HYDRAS :]:
        assert (folder / name).stat().st_size > 0 or name.endswith((".jsonl", "overrides.yaml", ".log")), name
    assert list(folder.glob("events.out.tfevents.*"))
    for path in [*folder.glob("samples/*.png"), *folder.glob("figures/*.png"), folder / "history.gif"]:
        Image.open(path).load()
    checkpoint.load(folder)
    read_status(folder)
    assert not list(folder.rglob("*.part"))


def same_weights(a, b):
    first, second = checkpoint.load(a), checkpoint.load(b)
    return all(
        torch.equal(first[player][name], second[player][name])
        for player in ("generator", "discriminator")
        for name in first[player]
    )


def test_a_run_leaves_everything_in_its_folder(train, tmp_path):
    done = train(f"hydra.run.dir={tmp_path}", "train.epochs=2", "watch.log_every=10", "watch.samples_every=30")
    assert done.returncode == 0, done.stderr
    assert_whole(tmp_path)
    found = read_status(tmp_path)
    assert (found["state"], found["step"], found["epoch"], found["error"]) == ("finished", 80, 2.0, None)
    assert found["images_per_second"] > 0
    logged = rows(tmp_path)
    assert [row["step"] for row in logged] == list(range(10, 81, 10))
    assert {
        "epoch",
        "seconds",
        "discriminator/loss",
        "generator/loss",
        "discriminator/real",
        "discriminator/fake",
    } <= logged[0].keys()
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        f"step_{step:07d}.png" for step in (0, 30, 60, 80)
    ]
    assert Image.open(tmp_path / "history.gif").n_frames == 4
    assert "epoch 2 of 2" in (tmp_path / "train.log").read_text()
    assert done.stdout.count("epoch ") == 2 and done.stderr == ""
    assert f"sample.py run={os.path.relpath(tmp_path, ROOT)}" in done.stdout


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(train_here, tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        train_here(tmp_path / name, f"seed={seed}", "train.max_steps=6")
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


TRICKS = ["trick=[instance_noise,soft_labels,ema]", "train.discriminator_steps=2", "model.discriminator.dropout=0.3"]


@pytest.mark.parametrize("mean", ["true", "false"])
def test_five_steps_and_five_more_are_ten_to_the_bit(train_here, tmp_path, mean):
    often = [*TRICKS, "watch.log_every=3", "watch.samples_every=4", f"watch.mean={mean}"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train_here(whole, *often, "train.max_steps=10")
    train_here(halves, *often, "train.max_steps=5")
    train_here(halves, *often, "train.max_steps=10", resume=True)
    assert same_weights(whole, halves)
    timeless = [
        [{name: value for name, value in row.items() if name != "seconds"} for row in rows(folder)]
        for folder in (whole, halves)
    ]
    assert timeless[0] == timeless[1]
    pictures = [{path.name: path.read_bytes() for path in (folder / "samples").iterdir()} for folder in (whole, halves)]
    assert pictures[0] == pictures[1]
    averages = [checkpoint.load(folder)["average"] for folder in (whole, halves)]
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_is_whole_and_goes_on_to_the_same_bits(train, cache, tmp_path, sent, code):
    unbroken, stopped = tmp_path / "unbroken", tmp_path / "stopped"
    assert train(*TRICKS, f"hydra.run.dir={unbroken}", "train.epochs=8").returncode == 0
    command = (unbroken / ".hydra" / "overrides.yaml").read_text().replace("- ", "").splitlines()
    command = [argument.strip("'") for argument in command]
    running = subprocess.Popen(
        [sys.executable, "train.py", *command, f"hydra.run.dir={stopped}", "watch.log_every=1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (stopped / "metrics.jsonl").exists() or len(rows(stopped)) < 20:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    running.send_signal(sent)
    out, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert read_status(stopped)["state"] == "stopped" and read_status(stopped)["step"] < 320
    assert "Traceback" not in err and "train.py resume=" in out
    assert_whole(stopped)
    done = train(f"resume={stopped}", "watch.log_every=50")
    assert done.returncode == 0, done.stderr
    assert read_status(stopped)["state"] == "finished"
    assert same_weights(unbroken, stopped)


def test_a_run_that_diverges_is_a_result_and_keeps_its_last_good_weights(train_here, tmp_path):
    often = ["watch.checkpoint_every=1", "watch.log_every=5", "train.max_steps=50"]
    train_here(tmp_path, "optim=sgd", "optim.generator.lr=1e30", *often)
    found = read_status(tmp_path)
    assert found["state"] == "diverged" and 0 < found["step"] < 50
    assert f"at step {found['step']}" in found["error"] and "loss" in found["error"]
    assert_whole(tmp_path, hydra=False)
    saved = checkpoint.load(tmp_path)
    assert saved["step"] < found["step"]
    assert all(tensor.isfinite().all() for tensor in saved["generator"].values())


def test_resume_refuses_settings_that_change_the_numbers_and_names_them(train, tmp_path):
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=3").returncode == 0
    before = read_status(tmp_path)
    done = train(f"resume={tmp_path}", "train.max_steps=6", "optim.generator.lr=0.001", "seed=5")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "optim.generator.lr was 0.0004 and is now 0.001" in done.stderr and "seed was 0 and is now 5" in done.stderr
    assert "max_steps" not in done.stderr
    assert read_status(tmp_path) == before


def test_a_finished_run_says_how_to_go_on(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    with pytest.raises(Refused, match=r"is finished: it has made 3 of 3 steps"):
        train_here(tmp_path, "train.max_steps=3", resume=True)


def test_samples_come_in_every_format_and_are_the_same_for_the_same_seed(train_here, program, tmp_path):
    run = tmp_path / "run"
    train_here(run, "train.max_steps=3", "dataset.image_size=12")

    def sample_here(*overrides):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return sample.draw(compose("sample", overrides=[f"run={run}", "device=cpu", *overrides]))

    sample_here("n=9", "seed=3", "format=npz", f"out={tmp_path / 'a.npz'}", "batch_size=4")
    images = np.load(tmp_path / "a.npz")["images"]
    assert images.shape == (9, 12, 12, 1) and images.dtype == np.uint8
    sample_here("n=9", "seed=3", "format=png", f"out={tmp_path / 'many'}")
    assert len(list((tmp_path / "many").glob("*.png"))) == 9
    for number in (0, 8):
        assert (np.asarray(Image.open(tmp_path / "many" / f"{number:05d}.png")) == images[number, :, :, 0]).all()
    done = program("sample.py", f"run={run}", "n=9", "seed=3", "device=cpu")
    assert done.returncode == 0 and str(run / "generated") in done.stdout, done.stderr
    (grid,) = (run / "generated").glob("grid*.png")
    assert Image.open(grid).size == (3 * 13 + 1, 3 * 13 + 1)
    assert (np.asarray(Image.open(grid))[1:13, 1:13] == images[0, :, :, 0]).all()
    sample_here("n=3", "format=interpolation", "frames=4", f"out={tmp_path / 'walk.gif'}")
    assert Image.open(tmp_path / "walk.gif").n_frames == 12
    assert not list(ROOT.glob("*.log"))


def test_tensorboard_serves_scalars_pictures_text_and_hyperparameters(train_here, tmp_path):
    """Read back over HTTP, as a browser does."""
    train_here(tmp_path / "run", "train.max_steps=40", "watch.log_every=10")
    server = TensorBoard()
    server.configure(argv=["tensorboard", "--logdir", str(tmp_path), "--port", "0", "--reload_interval", "1"])
    address = server.launch()

    def get(route, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address + "data/plugin/" + route, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    deadline = time.monotonic() + 30
    while "run" not in get("scalars/tags") and time.monotonic() < deadline:
        time.sleep(0.2)
    served = get("scalars/scalars?tag=discriminator%2Floss&run=run")
    assert [step for _, step, _ in served] == [10, 20, 30, 40]
    logged = [row["discriminator/loss"] for row in rows(tmp_path / "run")]
    assert [value for _, _, value in served] == pytest.approx(logged, rel=1e-6)
    assert get("images/tags")["run"]["samples"]["samples"] == 1
    assert any("config" in tag for tag in get("text/tags")["run"])
    sessions = get("hparams/session_groups", {
        "experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [], "startIndex": 0, "sliceSize": 10,
    })["sessionGroups"]  # fmt: skip
    assert len(sessions) == 1 and sessions[0]["hparams"]["model"] == "mlp"
    charts = get("custom_scalars/layout")["category"][0]["chart"]
    assert charts[0]["multiline"]["tag"] == ["discriminator/loss$", "generator/loss$"]
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1


def test_a_sweep_goes_on_past_a_job_that_is_refused_or_diverges(train, tmp_path):
    done = train(
        "-m",
        f"hydra.sweep.dir={tmp_path}",
        "optim=sgd",
        "optim.generator.lr=0.01,1e30,-1",
        "train.max_steps=20",
        "watch.log_every=5",
    )
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert [folder.name[0] for folder in folders] == ["0", "1", "2"], done.stderr
    assert [read_status(folder)["state"] for folder in folders] == ["finished", "diverged", "refused"]
    assert done.returncode == 1 and "Traceback" not in done.stderr
    table = done.stdout[done.stdout.rindex(str(tmp_path)) :]
    assert all(word in table for word in ("job", "state", "D loss", "finished", "diverged", "refused"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
def test_memory_that_a_step_frees_is_there_for_the_next(process):
    script = """
import resource, torch
from gan.device import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16_000_000)  # 64 MB, or 15,625 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
without = faults()
keep_memory()
faults()
print(without, faults())
"""
    without, kept = map(int, process("-c", script).stdout.split())
    assert kept < without / 10
