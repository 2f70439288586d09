"""Nothing is lost: damaged checkpoints, two processes, sweeps cut short, a disk that is full."""

import errno
import json
import resource
import subprocess
import sys

import pytest
import torch
from filelock import FileLock

from gan import checkpoint, files
from gan.errors import Refused
from tests.conftest import ROOT, TINY
from tests.torture import torture


def weights(folder):
    state = checkpoint.load(folder)
    return {
        f"{player}.{name}": tensor
        for player in ("generator", "discriminator")
        for name, tensor in state[player].items()
    }


def same(a, b):
    one, other = weights(a), weights(b)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def read_status(folder):
    return json.loads((folder / "status.json").read_text())


OFTEN = ["watch.checkpoint_every=3", "watch.log_every=2", "watch.samples_every=4"]


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
    assert same(whole, hurt) and not list(hurt.rglob("*.part"))
    steps = [[row["step"] for row in files.read_rows(folder / "metrics.jsonl")] for folder in (whole, hurt)]
    assert steps[0] == steps[1] == [2, 4, 6, 8, 10]


def test_where_both_are_damaged_it_is_said(train_here, tmp_path):
    train_here(tmp_path, *OFTEN, "train.max_steps=4")
    for name in ("last", "previous"):
        checkpoint.path_in(tmp_path, name).write_bytes(b"x")
    with pytest.raises(Refused, match=r"last\.pt is damaged"):
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


def test_a_disk_that_takes_no_more_ends_a_run_in_one_sentence(tmp_path, cache):
    """Files may not grow past 40 kB here: less than a checkpoint, more than anything else that is written."""
    done = subprocess.run(
        [sys.executable, "train.py", *TINY, f"cache_dir={cache}", f"hydra.run.dir={tmp_path}", "train.max_steps=5"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.strip().splitlines()[-1].endswith(".") and "cannot be used" in done.stderr
    assert read_status(tmp_path)["state"] == "failed"


def test_a_dozen_kills_lose_nothing(tmp_path):
    counts = torture(kills=12, seed=0, folder=tmp_path)
    assert counts["kills"] == 12 and counts["resumes"] > 0
    assert counts["mismatches"] == counts["broken files"] == 0
