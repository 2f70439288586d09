"""Nothing is lost: damaged checkpoints, two processes, sweeps cut short, a disk that is full."""

import errno
import math
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from filelock import FileLock
from omegaconf import OmegaConf
from PIL import Image

from gan.cli import jobs
from gan.config import check
from gan.config.errors import ConfigError
from gan.system import files, signals, status
from gan.training import build, checkpoint, loop
from tests.conftest import TINY, composed, read_status, same_weights, weights
from tests.torture import torture

OFTEN = ["watch.checkpoint_every=3", "watch.log_every=2", "watch.samples_every=4"]


@pytest.mark.parametrize(("before", "after"), [("finished", "finished"), ("running", "stopped"), (None, "stopped")])
def test_ctrl_c_before_a_run_goes_on_leaves_what_is_known_of_it(tmp_path, before, after):
    def interrupted(_cfg, _folder):
        raise KeyboardInterrupt

    if before:
        status.update(tmp_path, state=before)
    with pytest.raises(KeyboardInterrupt):
        jobs.run_locked_job(
            interrupted, OmegaConf.create({"resume": str(tmp_path)}), tmp_path, False, True, lambda: None
        )
    assert read_status(tmp_path)["state"] == after


@pytest.mark.parametrize("damage", ["cut", "emptied", "replaced", "missing"])
def test_where_the_last_checkpoint_is_damaged_the_one_before_is_taken(train_here, tmp_path, caplog, damage):
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    train_here(whole, *OFTEN, "train.max_steps=10")
    train_here(hurt, *OFTEN, "train.max_steps=7")
    last = checkpoint.path_in(hurt)
    content = last.read_bytes()
    if damage == "replaced":
        torch.save({"something": "else"}, last)
    elif damage == "missing":
        last.unlink()  # as if the process had died between the two renames
    else:
        last.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    (hurt / "checkpoints" / f".last.pt.{1}.part").write_bytes(b"half")
    train_here(hurt, *OFTEN, "train.max_steps=10", resume=True)
    assert "the one before it is taken, of step 6." in caplog.text
    assert same_weights(whole, hurt) and not list(hurt.rglob("*.part"))
    steps = [[row["step"] for row in files.read_rows(folder / "metrics.jsonl")] for folder in (whole, hurt)]
    assert steps[0] == steps[1] == [2, 4, 6, 8, 10]


def test_where_both_are_damaged_it_is_said(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=4")
    for name in ("last", "previous"):
        checkpoint.path_in(tmp_path, name).write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"last\.pt is damaged"):
        checkpoint.load(tmp_path)


def test_a_checkpoint_is_also_due_after_some_minutes(train_here, tmp_path, monkeypatch):
    saved = []
    save = checkpoint.save
    monkeypatch.setattr(
        checkpoint,
        "save",
        lambda folder, state, which="last": saved.append(state["step"]) or save(folder, state, which),
    )
    train_here(tmp_path, "train.max_steps=4", "watch.checkpoint_every=null", "watch.checkpoint_minutes=1e-9")
    assert saved == [0, 1, 2, 3, 4, 4]
    saved.clear()
    train_here(tmp_path / "never", "train.max_steps=4", "watch.checkpoint_every=null", "watch.checkpoint_minutes=null")
    assert saved == [0, 4]


def test_a_row_that_was_cut_short_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert files.read_rows(path) == [{"step": 1}, {"step": 2}]


def test_a_second_process_is_refused_while_the_first_lives(train, tmp_path):
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=2").returncode == 0
    before = read_status(tmp_path)
    with FileLock(tmp_path / ".lock"):
        done = train(f"resume={tmp_path}", "train.max_steps=4")
    assert done.returncode == 1 and "is in use: another process is training there" in done.stderr
    assert "Traceback" not in done.stderr and read_status(tmp_path) == before


def test_a_path_on_another_drive_is_shown_whole(monkeypatch, tmp_path):
    assert files.relative_path(tmp_path / "a", tmp_path) == "a"

    def no_way(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")  # as on Windows

    monkeypatch.setattr(os.path, "relpath", no_way)
    assert files.relative_path(tmp_path / "a") == str(tmp_path / "a")


def test_the_lock_of_a_dead_process_holds_nobody_up(train, tmp_path):
    script = f"import os; from filelock import FileLock; FileLock({str(tmp_path / '.lock')!r}).acquire(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert train(f"hydra.run.dir={tmp_path}", "train.max_steps=2").returncode == 0


def test_a_sweep_that_was_cut_short_is_taken_up(train, train_here, tmp_path):
    sweep = ["-m", f"hydra.sweep.dir={tmp_path}", "seed=1,2,3,4", "train.max_steps=6", *OFTEN]
    assert train(*sweep).returncode == 0
    finished, killed, failed, unborn = folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    expected, before = weights(killed), checkpoint.path_in(finished).stat().st_mtime_ns
    train_here(tmp_path / "three", "seed=2", *OFTEN, "train.max_steps=3")
    checkpoint.path_in(tmp_path / "three").replace(checkpoint.path_in(killed))
    files.write_json(killed / "status.json", read_status(killed) | {"state": "running", "step": 4})
    files.write_json(failed / "status.json", read_status(failed) | {"state": "failed", "error": "x"})
    (unborn / "status.json").unlink()

    again = train(*sweep)
    assert f"{finished.name} finished before and is left alone." in again.stdout, again.stderr
    assert f"{failed.name} failed before and is left alone; retry=true would run it again." in again.stdout
    assert checkpoint.path_in(finished).stat().st_mtime_ns == before
    assert [read_status(folder)["state"] for folder in folders] == ["finished", "finished", "failed", "finished"]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(killed).items())

    assert train(*sweep, "retry=true").returncode == 0
    assert read_status(failed)["state"] == "finished"
    assert sorted(path for path in tmp_path.iterdir() if path.is_dir() and path.name != "three") == folders


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(train_here, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def full(state, file):
        calls.append(state["step"])
        if len(calls) > 2:
            file.write(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file")
        save(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="could not be written whole") as found:
        train_here(tmp_path, *OFTEN, "train.max_steps=10")
    assert found.value.errno == errno.ENOSPC and calls == [0, 3, 6]
    assert checkpoint.load(tmp_path)["step"] == 3 and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("largest", "overrides", "what"),
    [
        (40_000, [], "last.pt cannot be used"),  # less than a checkpoint, more than all else
        (
            2_000_000,
            ["watch.samples=400", "watch.samples_every=1"],
            "cannot be used",
        ),  # TensorBoard's, from its own thread
    ],
)
def test_a_disk_that_takes_no_more_ends_a_run_in_one_sentence(train, tmp_path, largest, overrides, what):
    """No file may grow past so many bytes here; a full disk gives the same errors."""
    settings = [*overrides, f"hydra.run.dir={tmp_path}", "train.max_steps=60"]
    done = train(*settings, LARGEST_FILE=str(largest))
    assert done.returncode == 1 and "\n" not in done.stderr.strip(), done.stderr
    assert what in done.stderr and done.stderr.strip().endswith(".")
    found = read_status(tmp_path)
    assert found["state"] == "failed" and found["error"] == done.stderr.strip()
    assert not list(tmp_path.rglob(".room"))
    if largest > 100_000:
        assert checkpoint.load(tmp_path)["step"] == 0


def test_on_a_full_disk_there_is_room_to_say_so(tmp_path):
    with files.reserve_space(tmp_path) as give_back:
        assert (tmp_path / ".room").stat().st_size == files.ROOM
        give_back()
        assert not (tmp_path / ".room").exists()
    with files.reserve_space(tmp_path):
        pass
    assert not (tmp_path / ".room").exists()


def test_a_folder_that_was_removed_ends_the_run(train_here, tmp_path, monkeypatch):
    folder, update = tmp_path / "run", loop.update

    def removing(run):
        if run.step == 5:
            shutil.rmtree(folder)
        return update(run)

    monkeypatch.setattr(loop, "update", removing)
    with pytest.raises(FileNotFoundError, match="the folder of this run was removed"):
        train_here(folder, *OFTEN, "train.max_steps=20")
    assert not folder.exists()


def test_data_that_is_deleted_on_the_way_is_not_missed_until_it_is_wanted_again(train_here, tmp_path, monkeypatch):
    images, run = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    for number in range(32):
        Image.new("L", (16, 16), number * 8).save(images / f"{number}.png")
    own = ["dataset=image_folder", f"dataset.path={images}", f"cache_dir={tmp_path / 'cache'}"]
    update = loop.update

    def deleting(run):
        if run.step == 2:
            shutil.rmtree(images)
            shutil.rmtree(tmp_path / "cache")
        return update(run)

    monkeypatch.setattr(loop, "update", deleting)
    cfg = composed(*(setting for setting in TINY if "dataset" not in setting), *own, "train.max_steps=6", "trick=[]")
    loop.run(build.build_run(cfg, check.check_config(cfg), {}), run)
    assert read_status(run)["state"] == "finished"
    with pytest.raises(ConfigError, match="does not exist"):
        build.build_run(cfg, check.check_config(cfg), {})
    assert checkpoint.load(run)["step"] == 6


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_not_saved(train_here, tmp_path, monkeypatch, player):
    """As an optimiser may make them from a finite gradient, in the very step after which the run saves."""
    update = loop.update

    def poisoned(run):
        numbers = update(run)
        if run.step == 5:
            with torch.no_grad():
                next(getattr(run.players, player).network.parameters()).view(-1)[0] = math.inf
        return numbers

    monkeypatch.setattr(loop, "update", poisoned)
    train_here(tmp_path, *OFTEN, "train.max_steps=9")
    found = read_status(tmp_path)
    assert found["state"] == "diverged" and f"the {player}'s weights" in found["error"] and "step 6" in found["error"]
    assert checkpoint.load(tmp_path)["step"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path).values())


def test_a_flipped_bit_in_a_checkpoint_is_found(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=4")
    last = checkpoint.path_in(tmp_path)
    content = bytearray(last.read_bytes())
    weight = next(iter(checkpoint.load(tmp_path)["generator"].values()))
    place = content.find(weight.numpy().tobytes()[:64])
    assert place > 0
    content[place] ^= 1
    last.write_bytes(content)
    assert torch.load(last, weights_only=True)["step"] == 4  # torch does not notice
    assert checkpoint.load(tmp_path)["step"] == 3


def test_a_checkpoint_of_another_version_is_refused_in_a_sentence(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=4")
    state = checkpoint.load(tmp_path)
    state["discriminator"] = {f"old.{name}": tensor for name, tensor in state["discriminator"].items()}
    checkpoint.save(tmp_path, state)
    with pytest.raises(ConfigError, match="another version of this project"):
        train_here(tmp_path, *OFTEN, "train.max_steps=8", resume=True)
    with pytest.raises(ConfigError, match="another version of this project"):
        build.load_trained(tmp_path, "last", True, torch.device("cpu"))


def test_a_dozen_kills_lose_nothing(tmp_path):
    counts = torture(kills=12, seed=0, folder=tmp_path)
    assert counts["kills"] == 12 and counts["resumes"] > 0
    assert counts["mismatches"] == counts["broken files"] == 0


@pytest.mark.parametrize(
    ("number", "leaves_with"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGUSR2, ZeroDivisionError)]
)
def test_the_first_signal_is_a_wish_and_the_second_acts_as_usual(monkeypatch, number, leaves_with):
    """SIGUSR2 is heard only because somebody, here as submitit on a cluster, handles it."""

    def handler(_number, _frame):
        raise leaves_with

    before = signal.signal(number, handler)
    try:
        with signals.stop_requests() as stop, pytest.raises(leaves_with):
            signal.raise_signal(number)
            assert stop.signal == number
            signal.raise_signal(number)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
