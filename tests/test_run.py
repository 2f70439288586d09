"""A run from the command line: its folder, how it ends, how it goes on."""

import io
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

import sample
from gan import sampling
from gan.cli import overrides
from gan.config.errors import ConfigError
from gan.system import files, status
from gan.training import checkpoint, figures
from gan.training.ema import EMA
from gan.training.logger import MetricAccumulator
from tests.conftest import CONF, ROOT, read_status, same_weights

FILES = [
    ".hydra/config.yaml",
    ".hydra/overrides.yaml",
    ".hydra/hydra.yaml",
    "train.log",
    "status.json",
    "metrics.jsonl",
    "samples.gif",
    "figures/losses.png",
    "figures/predictions.png",
    "checkpoints/last.pt",
]
HYDRAS = 4  # of them are there only where Hydra is


def rows(folder):
    return files.read_rows(folder / "metrics.jsonl")


def assert_whole(folder, hydra=True):
    """Every file that a run folder should hold is there and opens."""
    for name in FILES[0 if hydra else HYDRAS :]:
        assert (folder / name).stat().st_size > 0 or name.endswith((".jsonl", "overrides.yaml", ".log")), name
    assert list(folder.glob("events.out.tfevents.*"))
    for path in [*folder.glob("samples/*.png"), *folder.glob("figures/*.png"), folder / "samples.gif"]:
        Image.open(path).load()
    checkpoint.load(folder)
    read_status(folder)
    assert not list(folder.rglob("*.part"))


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
    assert Image.open(tmp_path / "samples.gif").n_frames == 4
    assert Image.open(tmp_path / "final.png").size == (10 * 29 + 1, 10 * 29 + 1)  # a hundred, with lines between them
    assert "epoch 2 of 2" in (tmp_path / "train.log").read_text()
    assert done.stdout.count("epoch ") == 2 and done.stderr == ""
    assert f"sample.py run={os.path.relpath(tmp_path, ROOT)}" in done.stdout


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(train_here, tmp_path):
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        train_here(tmp_path / name, f"seed={seed}", "train.max_steps=6")
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


TRICKS = ["trick=[instance_noise,soft_labels]", "train.discriminator_steps=2", "model.discriminator.dropout=0.3"]


@pytest.mark.parametrize("mean", ["true", "false"])
def test_five_steps_and_five_more_are_ten_to_the_bit(train_here, tmp_path, mean):
    often = [*TRICKS, "watch.log_every=3", "watch.samples_every=4", f"watch.log_mean={mean}"]
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
    images = [{path.name: path.read_bytes() for path in (folder / "samples").iterdir()} for folder in (whole, halves)]
    assert images[0] == images[1]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_is_whole_and_goes_on_to_the_same_bits(train, cache, tmp_path, sent, code):
    unbroken, stopped = tmp_path / "unbroken", tmp_path / "stopped"
    assert train(*TRICKS, f"hydra.run.dir={unbroken}", "train.epochs=8", "threads=1").returncode == 0
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
    assert read_status(stopped)["state"] == "stopped" and read_status(stopped)["step"] < 160
    assert "Traceback" not in err and "train.py resume=" in out
    assert_whole(stopped)
    done = train(f"resume={stopped}", "watch.log_every=50")
    assert done.returncode == 0, done.stderr
    assert read_status(stopped)["state"] == "finished"
    assert same_weights(unbroken, stopped)


@pytest.mark.parametrize(("ended", "kept"), [(20, [10, 20]), (15, [10])])
def test_a_row_that_was_due_stays_where_another_period_goes_on(train_here, tmp_path, ended, kept):
    train_here(tmp_path, f"train.max_steps={ended}", "watch.log_every=10")
    train_here(tmp_path, "train.max_steps=29", "watch.log_every=7", resume=True)
    assert [row["step"] for row in rows(tmp_path)] == [*kept, 21, 28, 29]


def test_a_line_shows_where_an_undecided_discriminator_would_be_if_its_loss_says(tmp_path):
    files.write_rows(tmp_path / "metrics.jsonl", [{"epoch": 1.0, "discriminator/real": 0.9, "discriminator/fake": 0.1}])
    drawn = {}
    for undecided in (0.5, 0.2, None):
        figures.plot_figures(tmp_path, undecided)
        drawn[undecided] = np.asarray(Image.open(tmp_path / "figures" / "predictions.png").convert("L"), dtype=int)
    grey = [np.abs(drawn[undecided] - drawn[None]).sum(axis=1).argmax() for undecided in (0.5, 0.2)]
    assert grey[0] < grey[1]  # the row of pixels that differs most


def test_numbers_are_the_mean_since_the_last_or_the_last_of_all():
    for mean, first, second in ((True, 2.0, 6.0), (False, 3.0, 6.0)):
        numbers = MetricAccumulator(mean)
        for value in (1.0, 3.0):
            numbers.add({"a": torch.tensor(value), "b": -torch.tensor(value)})
        assert numbers.read() == {"a": first, "b": -first}
        numbers.clear()
        numbers.add({"a": torch.tensor(6.0), "b": torch.tensor(0.0)})
        assert numbers.read() == {"a": second, "b": 0.0}


def test_an_average_follows_the_weights_slowly_and_forgets_the_first_soon():
    network = nn.BatchNorm1d(1)
    average = EMA(network, decay=0.5)
    expected = 1.0
    for step, weight in enumerate((2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0), 1):
        with torch.no_grad():
            network.weight.fill_(weight)
            network.running_mean.fill_(weight)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))  # 2/11, 3/12, ... and 0.5 from step 8 on
        expected = decay * expected + (1 - decay) * weight
        assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)
        assert average.network.running_mean.item() == weight


def test_a_run_that_diverges_ends_well(train, tmp_path):
    done = train(f"hydra.run.dir={tmp_path}", "optim=sgd", "optim.generator.lr=1e30", "train.max_steps=50")
    assert done.returncode == 0 and "Diverged after" in done.stdout and read_status(tmp_path)["state"] == "diverged"


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
    for mistake in ("train.batch_size=0", "seed=5"):
        assert train(f"resume={tmp_path}", "train.max_steps=6", mistake).returncode == 1
    assert "max_steps=6" not in (tmp_path / ".hydra" / "overrides.yaml").read_text()
    again = train(f"resume={tmp_path}", "train.max_steps=6")
    assert again.returncode == 0, again.stderr
    assert "max_steps=6" in (tmp_path / ".hydra" / "overrides.yaml").read_text()


def test_a_film_of_many_images_is_thinned(train_here, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_GIF_FRAMES", 4)
    shown = []
    monkeypatch.setattr(
        sampling, "read_image", lambda path, read=sampling.read_image: shown.append(path.stem) or read(path)
    )
    train_here(tmp_path, "train.max_steps=10", "watch.samples_every=1")
    assert len(list((tmp_path / "samples").glob("step_*.png"))) == 11
    assert shown == ["step_0000000", "step_0000004", "step_0000008", "step_0000010"]


def test_a_film_may_have_more_images_than_files_can_be_open(tmp_path):
    resource = pytest.importorskip("resource")
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        sampling.write_gif(map(sampling.read_image, [tmp_path / "x.png"] * 300), io.BytesIO(), fps=4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_new_run_does_not_begin_where_another_lies(train, tmp_path):
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=3").returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "train.log"}
    done = train(f"hydra.run.dir={tmp_path}", "train.max_steps=2", "seed=1")
    assert done.returncode == 1 and f"{tmp_path} holds a run: resume={tmp_path} goes on with it" in done.stderr
    assert "Traceback" not in done.stderr and all(path.read_bytes() == kept for path, kept in before.items())
    done = train(f"resume={tmp_path}", "train.max_steps=6", f"hydra.run.dir={tmp_path / 'other'}")
    assert done.returncode == 1 and "goes on in that folder" in done.stderr and not (tmp_path / "other").exists()
    assert all(path.read_bytes() == kept for path, kept in before.items())


def test_a_run_goes_on_from_a_folder_of_any_name(train_here, train, tmp_path):
    """As it is, in quotes as Hydra wants them, and as the run itself says."""
    folder = tmp_path / "läuf (1), it's [x] a=b"
    train_here(folder, "train.max_steps=2")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text("[]")
    quoted = str(folder).replace("'", r"\'")
    for steps, typed in ((3, f"resume={folder}"), (4, f"resume='{quoted}'")):
        done = train(typed, f"train.max_steps={steps}")
        assert done.returncode == 0 and status.read(folder)["step"] == steps, done.stderr
    (said,) = [line.split("more")[1] for line in done.stdout.splitlines() if line.startswith("  more")]
    python, program, run, count = shlex.split(said)
    assert (python, program, count) == ("python", "sample.py", "n=100")
    found = OverridesParser.create().parse_override(run).value()
    assert (ROOT / str(found)).samefile(folder)


@pytest.mark.parametrize(
    "name", ["a/b", "my run", "läuf", "a(1)", "a,b", "a=b", "it's", "[x]", "5", "null", "~a", "C:\\a b", ""]
)
def test_a_value_is_said_so_that_hydra_reads_the_same(name):
    override = OverridesParser.create().parse_override(overrides.quote_override("resume", name))
    assert override.key_or_group == "resume" and override.value() == name


def test_a_finished_run_says_how_to_go_on(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    with pytest.raises(ConfigError, match=r"after 3 of 3 steps: train.max_steps=6 "):
        train_here(tmp_path, "train.max_steps=3", resume=True)
    with pytest.raises(ConfigError, match=r"after 3 of 1 steps: train.max_steps=6 "):
        train_here(tmp_path, "train.max_steps=1", resume=True)
    train_here(tmp_path / "epoch", "dataset.limit=48", "train.epochs=1")
    with pytest.raises(ConfigError, match=r"after 3 of 3 steps: train.epochs=2 "):
        train_here(tmp_path / "epoch", "dataset.limit=48", "train.epochs=1", resume=True)


def test_a_film_is_of_grids_of_one_size(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=2", "watch.samples_every=1", "watch.samples=4")
    train_here(tmp_path, "train.max_steps=4", "watch.samples_every=1", "watch.samples=9", resume=True)
    with Image.open(tmp_path / "samples.gif") as film, Image.open(tmp_path / "samples" / "step_0000004.png") as last:
        assert film.size == last.size and film.n_frames == 2


def test_where_test_images_lie_may_change_on_the_way():
    checkpoint.check_same_settings("dataset: {path: a, test_path: null}", "dataset: {path: a, test_path: b}")
    with pytest.raises(ConfigError, match=r"dataset\.path was a and is now b"):
        checkpoint.check_same_settings("dataset: {path: a, test_path: null}", "dataset: {path: b, test_path: null}")


def test_samples_come_in_every_format_and_are_the_same_for_the_same_seed(train_here, program, tmp_path):
    run, logs = tmp_path / "run", set(ROOT.glob("*.log"))
    train_here(run, "train.max_steps=3", "dataset.image_size=12")

    def sample_here(*overrides):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return sample.sample_images(compose("sample", overrides=[f"run={run}", "device=cpu", *overrides]))

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
    assert sample_here("n=9", "ema=false").name == "grid_no-ema_seed0_n9.png"
    with pytest.raises(ConfigError, match=r"last\.pt is not possible with format=grid"):
        sample_here(f"out={run / 'checkpoints' / 'last.pt'}")
    with pytest.raises(ConfigError, match=r"a\.jpg is not possible with format=grid: it should end in \.png"):
        sample_here("out=a.jpg")
    with pytest.raises(ConfigError, match=r"n=1 is not possible with format=interpolation"):
        sample_here("n=1", "format=interpolation")
    assert set(ROOT.glob("*.log")) == logs


@pytest.fixture
def board(tmp_path):
    """The address of a TensorBoard that shows `tmp_path`. Its threads would not outlive the forks of other tests."""
    arguments = ["--logdir", str(tmp_path), "--port", "0", "--reload_interval", "1"]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        yield next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
        server.kill()


def test_tensorboard_serves_scalars_images_text_and_hyperparameters(train_here, board, tmp_path):
    """Read back over HTTP, as a browser does."""
    train_here(tmp_path / "run", "train.max_steps=40", "watch.log_every=10")

    def get(route, body=None, ready=bool):
        """What it answers; it reads a run bit by bit and answers all the while, so ask until the answer is `ready`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(board + "data/plugin/" + route, data, {"Content-Type": "application/json"})
        deadline = time.monotonic() + 60
        while True:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = json.loads(answer.read())
            if ready(found) or time.monotonic() > deadline:
                return found
            time.sleep(0.2)

    get("scalars/tags", ready=lambda tags: "discriminator/loss" in tags.get("run", {}))
    served = get("scalars/scalars?tag=discriminator%2Floss&run=run", ready=lambda found: len(found) >= 4)
    assert [step for _, step, _ in served] == [10, 20, 30, 40]
    logged = [row["discriminator/loss"] for row in rows(tmp_path / "run")]
    assert [value for _, _, value in served] == pytest.approx(logged, rel=1e-6)
    assert get("images/tags", ready=lambda tags: "run" in tags)["run"]["samples"]["samples"] == 1
    assert any("config" in tag for tag in get("text/tags", ready=lambda tags: "run" in tags)["run"])
    sessions = get("hparams/session_groups", {
        "experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [], "startIndex": 0, "sliceSize": 10,
    }, ready=lambda found: found["sessionGroups"])["sessionGroups"]  # fmt: skip
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


@pytest.mark.parametrize(
    ("name", "typed", "left"),
    [
        ("modern", "[r1]", {"r1"}),
        ("modern", "r2", {"r2"}),
        ("modern", "[]", set()),
        ("blog/paper_batchnorm_softlabel", "[]", set()),
        ("blog/paper_batchnorm_softlabel", "[soft_labels]", {"soft_labels"}),
    ],
)
def test_the_tricks_of_an_experiment_can_be_replaced(program, small, tmp_path, name, typed, left):
    """Also by fewer, where the experiment has numbers for those that are left out."""
    tiny = [
        "dataset=digits",
        "dataset.image_size=8",
        "train.max_steps=1",
        "watch.samples=1",
        "watch.final_samples=null",
    ]
    done = program("train.py", f"experiment={name}", *small, *tiny, f"trick={typed}", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    tricks = OmegaConf.load(tmp_path / ".hydra" / "config.yaml").trick
    assert set(tricks) == left
    assert "soft_labels" not in tricks or list(tricks.soft_labels.real_target) == [0.9, 1.0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
def test_memory_that_a_step_frees_is_there_for_the_next(process):
    script = """
import resource, torch
from gan.system.device import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16_000_000)  # 64 MB, or 15,625 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
without = faults()
keep_freed_memory()
faults()
print(without, faults())
"""
    without, kept = map(int, process("-c", script).stdout.split())
    assert kept < without / 10


def test_numbers_too_small_to_matter_are_nothing_in_every_thread(process):
    script = """
import torch
from gan.system.device import flush_denormals
flush_denormals()
torch.set_num_threads(2)
least = torch.ones(1_000_000, dtype=torch.int32).view(torch.float32)  # 1.4e-45
print(torch.set_flush_denormal(True), (least * 1).view(torch.int32).count_nonzero().item())
"""
    possible, left = process("-c", script).stdout.split()
    if possible == "False":
        pytest.skip("this processor cannot")
    assert left == "0"
