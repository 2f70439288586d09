"""Kills, damaged files, full disks, two processes in one folder and interrupted sweeps."""

import errno
import math
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from filelock import FileLock
from PIL import Image

from gan.cli import jobs
from gan.config import check
from gan.config.errors import ConfigError
from gan.data.datasets import ImageDataset
from gan.metrics import features
from gan.system import files, locks, signals, status
from gan.training import build, checkpoint, loop
from tests.conftest import TINY, composed, read_status, same_weights, weights
from tests.forked import run_in_two_threads
from tests.torture import torture

OFTEN = ["watch.checkpoint_every=3", "watch.log_every=2", "watch.samples_every=4"]


# Kills and damaged checkpoints


@pytest.mark.slow
def test_a_dozen_kills_lose_nothing(tmp_path):
    counts = torture(kills=12, seed=0, folder=tmp_path)
    assert counts["kills"] == 12 and counts["resumes"] > 0
    assert counts["mismatches"] == counts["broken files"] == 0


@pytest.mark.parametrize(("before", "after"), [("finished", "finished"), ("running", "stopped"), (None, "stopped")])
def test_a_signal_before_a_resumed_run_starts_keeps_its_final_state(
    train_here, tmp_path, capsys, monkeypatch, before, after
):
    monkeypatch.setattr(jobs, "own_yaml_flags", lambda _: [])
    monkeypatch.setattr(jobs.HydraConfig, "get", lambda: None)

    def interrupt(_cfg, _folder):
        raise signals.Interrupted(signal.SIGTERM)

    train_here(tmp_path, "train.max_steps=1")
    (tmp_path / "status.json").unlink()
    if before:
        status.update(tmp_path, state=before)
    cfg = composed(f"resume={tmp_path}")
    stopped_by = jobs.run_locked_job(interrupt, cfg, tmp_path, False, True, lambda: None)
    assert stopped_by == signal.SIGTERM and read_status(tmp_path)["state"] == after
    assert ("train.py resume=" in capsys.readouterr().out) == (after == "stopped")


@pytest.mark.parametrize("damage", ["cut", "emptied", "replaced", "missing"])
@pytest.mark.slow
def test_where_the_last_checkpoint_is_damaged_the_previous_one_is_resumed(train_here, tmp_path, caplog, damage):
    intact, damaged = tmp_path / "intact", tmp_path / "damaged"
    train_here(intact, *OFTEN, "train.max_steps=10")
    train_here(damaged, *OFTEN, "train.max_steps=7")
    last = checkpoint.path_in(damaged)
    content = last.read_bytes()
    if damage == "replaced":
        torch.save({"something": "else"}, last)
    elif damage == "missing":
        last.unlink()  # as if the process was killed between the two renames
    else:
        last.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    (damaged / "checkpoints" / f".last.pt.{10**9}@{locks.HOST}.part").write_bytes(b"half")
    train_here(damaged, *OFTEN, "train.max_steps=10", resume=True)
    assert "step 6" in caplog.text
    assert same_weights(intact, damaged) and not list(damaged.rglob("*.part"))
    steps = [[row["step"] for row in files.read_rows(folder / "metrics.jsonl")] for folder in (intact, damaged)]
    assert steps[0] == steps[1] == [2, 4, 6, 8, 10]


def test_two_damaged_checkpoints_are_a_config_error(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=4")
    for name in ("last", "previous"):
        checkpoint.path_in(tmp_path, name).write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"last\.pt"):
        checkpoint.load(tmp_path)


def test_a_flipped_bit_in_a_checkpoint_is_noticed(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=4")
    last = checkpoint.path_in(tmp_path)
    content = bytearray(last.read_bytes())
    weight = next(iter(checkpoint.load(tmp_path)["generator"].values()))
    position = content.find(weight.numpy().tobytes()[:64])
    assert position > 0
    content[position] ^= 1
    last.write_bytes(content)
    assert torch.load(last, weights_only=True)["step"] == 4  # torch does not notice
    assert checkpoint.load(tmp_path)["step"] == 3


def test_a_checkpoint_of_another_version_is_a_config_error(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=4")
    state = checkpoint.load(tmp_path)
    state["discriminator"] = {f"old.{name}": tensor for name, tensor in state["discriminator"].items()}
    checkpoint.save(tmp_path, state)
    with pytest.raises(ConfigError, match="version"):
        train_here(tmp_path, *OFTEN, "train.max_steps=8", resume=True)
    with pytest.raises(ConfigError, match="version"):
        build.load_trained(tmp_path, "last", True, torch.device("cpu"))


def test_a_checkpoint_is_also_saved_after_some_minutes(train_here, tmp_path, monkeypatch):
    saved, save = [], checkpoint.save

    def save_and_record(folder, state, which="last"):
        saved.append(state["step"])
        save(folder, state, which)

    monkeypatch.setattr(checkpoint, "save", save_and_record)
    train_here(tmp_path, "train.max_steps=4", "watch.checkpoint_every=null", "watch.checkpoint_minutes=1e-9")
    assert saved == [0, 1, 2, 3, 4, 4]
    saved.clear()
    train_here(tmp_path / "never", "train.max_steps=4", "watch.checkpoint_every=null", "watch.checkpoint_minutes=null")
    assert saved == [0, 4]


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_not_saved(train_here, tmp_path, monkeypatch, player):
    """An optimizer may make them from a finite gradient, here in a step after which a checkpoint is due."""
    update = loop.training_step

    def update_to_infinity(run):
        numbers = update(run)
        if run.step == 5:
            with torch.no_grad():
                next(getattr(run.players, player).network.parameters()).view(-1)[0] = math.inf
        return numbers

    monkeypatch.setattr(loop, "training_step", update_to_infinity)
    train_here(tmp_path, *OFTEN, "train.max_steps=9")
    final = read_status(tmp_path)
    assert final["state"] == "diverged" and player in final["error"] and "step 6" in final["error"]
    assert checkpoint.load(tmp_path)["step"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path).values())


def test_an_optimizer_state_that_is_not_finite_is_not_saved(train_here, tmp_path):
    """Adam squares a gradient to infinity, divides by that from then on, and weights and losses stay finite."""
    far = ["optim.generator.lr=1e10", "optim.generator.weight_decay=1e12"]
    near = ["optim.discriminator.lr=4e-4", "optim.discriminator.weight_decay=0"]
    train_here(tmp_path, *OFTEN, *far, *near, "train.max_steps=9")
    final = read_status(tmp_path)
    assert final["state"] == "diverged" and "generator's optimizer" in final["error"]
    saved = checkpoint.load(tmp_path)
    assert saved["step"] < final["step"] < 9
    states = [state for optimizer in saved["optimizers"] for state in optimizer["state"].values()]
    assert all(value.isfinite().all() for state in states for value in state.values())


def test_an_average_of_weights_that_is_not_finite_is_not_saved(train_here, tmp_path, monkeypatch):
    update = loop.training_step

    def update_average(run):
        if run.step == 4:
            run.ema.weights[0].view(-1)[0] = math.nan
        return update(run)

    monkeypatch.setattr(loop, "training_step", update_average)
    train_here(tmp_path, *OFTEN, "train.max_steps=9")
    assert read_status(tmp_path)["state"] == "diverged" and "EMA" in read_status(tmp_path)["error"]
    assert checkpoint.load(tmp_path)["step"] == 3


# Disks


def test_a_checkpoint_that_cannot_be_written_leaves_the_previous_one(train_here, tmp_path, monkeypatch):
    save, steps = torch.save, []

    def save_until_full(state, file):
        steps.append(state["step"])
        if len(steps) > 2:
            file.write(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file")
        save(state, file)

    monkeypatch.setattr(torch, "save", save_until_full)
    with pytest.raises(OSError) as error:
        train_here(tmp_path, *OFTEN, "train.max_steps=10")
    assert error.value.errno == errno.ENOSPC and steps == [0, 3, 6]
    assert checkpoint.load(tmp_path)["step"] == 3 and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("max_bytes", "overrides", "file"),
    [
        (60_000, [], "last.pt"),  # smaller than a checkpoint, larger than all other files
        (2_000_000, ["watch.samples=400", "watch.samples_every=1"], ""),  # TensorBoard's, in its own thread
    ],
)
def test_a_full_disk_fails_a_run_with_one_sentence(train, tmp_path, max_bytes, overrides, file):
    """No file may grow past `max_bytes` here, which gives the errors of a full disk."""
    settings = [*overrides, f"hydra.run.dir={tmp_path}", "train.max_steps=60"]
    done = train(*settings, MAX_FILE_BYTES=str(max_bytes))
    assert done.returncode == 1 and done.is_clean_exit(), done
    assert file in done.stderr
    final = read_status(tmp_path)
    assert final["state"] == "failed" and final["error"] == done.stderr.strip()
    assert not list(tmp_path.rglob(".room"))
    if not file:
        assert checkpoint.load(tmp_path)["step"] == 0


def test_a_run_ends_where_its_folder_is_removed(train_here, tmp_path, monkeypatch):
    folder, update = tmp_path / "run", loop.training_step

    def remove_and_update(run):
        if run.step == 5:
            shutil.rmtree(folder)
        return update(run)

    monkeypatch.setattr(loop, "training_step", remove_and_update)
    with pytest.raises(FileNotFoundError, match="removed"):
        train_here(folder, *OFTEN, "train.max_steps=20")
    assert not folder.exists()


def test_a_run_finishes_where_its_data_is_deleted(train_here, tmp_path, monkeypatch):
    images, run = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    for number in range(32):
        Image.new("L", (16, 16), number * 8).save(images / f"{number}.png")
    data = ["dataset=image_folder", f"dataset.path={images}", f"cache_dir={tmp_path / 'cache'}"]
    update = loop.training_step

    def delete_and_update(run):
        if run.step == 2:
            shutil.rmtree(images)
            shutil.rmtree(tmp_path / "cache")
        return update(run)

    monkeypatch.setattr(loop, "training_step", delete_and_update)
    cfg = composed(*(setting for setting in TINY if "dataset" not in setting), *data, "train.max_steps=6", "trick=[]")
    loop.train(build.build_run(cfg, check.check_config(cfg), {}), run)
    assert read_status(run)["state"] == "finished" and checkpoint.load(run)["step"] == 6
    with pytest.raises(ConfigError, match=r"dataset\.path"):
        build.build_run(cfg, check.check_config(cfg), {})


# Several processes


def test_a_second_process_in_a_runs_folder_is_an_error(train, tmp_path):
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=2").returncode == 0
    before = read_status(tmp_path)
    with FileLock(tmp_path / ".lock"):
        done = train(f"resume={tmp_path}", "train.max_steps=4")
    assert done.returncode == 1 and done.is_clean_exit() and "hydra.run.dir" in done.stderr
    assert str(tmp_path / ".lock") in done.stderr
    assert read_status(tmp_path) == before


def test_the_lock_of_a_killed_process_is_released(train, tmp_path):
    lock = f"FileLock({str(tmp_path / '.lock')!r}).acquire()"
    script = f"import os; from filelock import FileLock; lock = {lock}; os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=2").returncode == 0


def test_of_two_processes_that_need_a_feature_network_one_trains_it(tmp_path, monkeypatch):
    trained = []

    def train_slowly(train, device):
        trained.append(train)
        time.sleep(0.1)
        return features.Classifier(train.shape)

    monkeypatch.setattr(features, "train_classifier", train_slowly)
    images = ImageDataset(torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 2)
    first, second = run_in_two_threads(
        lambda: features.dataset_classifier("any", images, images, tmp_path, torch.device("cpu"))
    )
    assert len(trained) == 1 and first.name == second.name


@pytest.mark.slow
def test_an_interrupted_sweep_is_resumed(train, train_here, tmp_path):
    sweep = ["-m", f"hydra.sweep.dir={tmp_path}", "seed=1,2,3,4", "train.max_steps=6", *OFTEN]
    assert train(*sweep).returncode == 0
    finished, killed, failed, missing = folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    expected, before = weights(killed), checkpoint.path_in(finished).stat().st_mtime_ns
    train_here(tmp_path / "three", "seed=2", *OFTEN, "train.max_steps=3")
    checkpoint.path_in(tmp_path / "three").replace(checkpoint.path_in(killed))
    files.write_json(killed / "status.json", read_status(killed) | {"state": "running", "step": 4})
    files.write_json(failed / "status.json", read_status(failed) | {"state": "failed", "error": "x"})
    (missing / "status.json").unlink()

    again = train(*sweep)
    lines = again.stdout.splitlines()
    assert any(finished.name in line and "skipped" in line for line in lines), again
    assert [failed.name in line for line in lines if "retry=true" in line] == [True], again
    assert checkpoint.path_in(finished).stat().st_mtime_ns == before
    assert [read_status(folder)["state"] for folder in folders] == ["finished", "finished", "failed", "finished"]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(killed).items())

    assert train(*sweep, "retry=true").returncode == 0
    assert read_status(failed)["state"] == "finished"
    assert sorted(path for path in tmp_path.iterdir() if path.is_dir() and path.name != "three") == folders
