"""Runs of several processes: the same as one process would train with the same batches, up to rounding."""

import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from PIL import Image

from gan.config.errors import ConfigError
from gan.system import distributed, files, rank, status
from tests import forked
from tests.conftest import ROOT, TINY, same_weights, weights

DCGAN = ["model=dcgan", "model.generator.width=4", "model.discriminator.width=4", "dataset.image_size=16"]
SMALL = [setting for setting in TINY if "hidden" in setting]
SETTINGS = {  # each without dropout, which is random in each process
    "BatchNorm in both": [*DCGAN, "train.reuse_fakes=true", "trick=[]"],
    "penalties, classes, simultaneous updates": [
        *(*SMALL, "model.discriminator.dropout=0", "trick=[r1,r2,conditional]", "loss=relativistic"),
        "train.update=simultaneous",
    ],
}
FIXED = [*TINY[:4], "optim=sgd", "train.max_steps=6", "watch.log_every=3", "watch.samples=4", "threads=1"]


def train_with_two_processes(*arguments: str) -> str:
    """Returns their output."""
    ranks = forked.run_ranks(2, "train.py", *arguments)
    assert all(done.returncode == 0 for done in ranks), ranks
    assert not ranks[1].stdout + ranks[1].stderr
    return ranks[0].stdout


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.slow
def test_two_processes_train_as_one(program, cache, tmp_path, setting):
    settings = [*FIXED, *SETTINGS[setting], f"cache_dir={cache}"]
    alone = program("train.py", *settings, f"hydra.run.dir={tmp_path / 'one'}")
    assert alone.returncode == 0, alone.stderr
    output = train_with_two_processes(*settings, f"hydra.run.dir={tmp_path / 'two'}")
    assert output.count("Finished after 6 steps") == 1
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor.double(), two[name].double(), rtol=1e-4, atol=2e-5), name
    rows = [files.read_rows(tmp_path / name / "metrics.jsonl") for name in ("one", "two")]
    assert [row["step"] for row in rows[1]] == [3, 6]
    for a, b in zip(*rows, strict=True):
        assert all(a[name] == pytest.approx(b[name], rel=1e-3, abs=1e-4) for name in a if "/" in name)
    assert status.read(tmp_path / "two")["state"] == "finished"
    with Image.open(tmp_path / "two" / "samples" / "step_0000006.png") as grid:
        assert grid.width > 0


@pytest.mark.slow
def test_a_resumed_run_of_two_processes_equals_an_uninterrupted_one_bit_for_bit(cache, tmp_path):
    """With dropout and random tricks, which each process draws on its own."""
    settings = [*FIXED, *SMALL, "optim=adam", "trick=[instance_noise,soft_labels]", f"cache_dir={cache}"]
    train_with_two_processes(*settings, f"hydra.run.dir={tmp_path / 'uninterrupted'}")
    train_with_two_processes(*settings, f"hydra.run.dir={tmp_path / 'resumed'}", "train.max_steps=3")
    train_with_two_processes(f"resume={tmp_path / 'resumed'}", "train.max_steps=6")
    assert same_weights(tmp_path / "uninterrupted", tmp_path / "resumed")


def assert_rank_zero_explains(setting: str, *arguments: str) -> None:
    """Both processes exit with 1, and rank 0 alone prints one sentence with the setting."""
    first, second = forked.run_ranks(2, "train.py", *arguments)
    assert (first.returncode, second.returncode) == (1, 1), (first, second)
    assert setting in first.stderr and first.is_clean_exit() and not second.stderr


@pytest.mark.parametrize(
    ("overrides", "setting"),
    [
        (["hydra.mode=MULTIRUN"], "sweep"),
        (["-m", "seed=1,2"], "sweep"),
        (["dataset=image_folder", "dataset.path=nowhere"], "dataset.path=nowhere"),
    ],
)
def test_an_error_in_all_processes_is_printed_once(cache, tmp_path, overrides, setting):
    folders = [f"cache_dir={cache}", f"hydra.run.dir={tmp_path / 'run'}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    of_digits = "dataset=image_folder" not in overrides
    few = [override for override in (*FIXED, *SMALL) if of_digits or "dataset" not in override]
    assert_rank_zero_explains(setting, *few, *folders, *overrides)


@pytest.mark.parametrize("mistake", ["finished", "no checkpoint", "folder of a run"])
@pytest.mark.slow
def test_an_error_in_resuming_is_printed_once(cache, tmp_path, mistake):
    settings = [*FIXED, *SMALL, f"cache_dir={cache}", f"hydra.run.dir={tmp_path}"]
    train_with_two_processes(*settings)
    if mistake == "finished":
        assert_rank_zero_explains("train.max_steps=", f"resume={tmp_path}", "train.max_steps=6")
    elif mistake == "no checkpoint":
        shutil.rmtree(tmp_path / "checkpoints")
        assert_rank_zero_explains("checkpoint", f"resume={tmp_path}", "train.max_steps=7")
    else:
        assert_rank_zero_explains("resume=", *settings, "seed=1")


OFFLINE = ["unshare", "-rnu", "sh", "-c", 'hostname unknown.invalid && ip link set lo up && exec "$@"', "sh"]


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.slow
def test_torchrun_starts_a_run(cache, tmp_path, offline):
    """Offline: in a network namespace with the loopback interface alone, with a host name that nobody knows."""
    if offline and (not shutil.which("unshare") or subprocess.run([*OFFLINE, "true"], capture_output=True).returncode):
        pytest.skip("needs user namespaces")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    torchrun += ["--local-addr=127.0.0.1"] if offline else []  # it would look for its own host name
    settings = [*FIXED, *SMALL, f"cache_dir={cache}", f"hydra.run.dir={tmp_path}"]
    line = [*(OFFLINE if offline else []), *torchrun, "train.py", *settings]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout.count("Finished after 6 steps") == 1, done.stderr
    assert "GLOO_SOCKET_IFNAME" not in done.stderr  # which gloo asks for where it finds no interface
    assert status.read(tmp_path)["state"] == "finished"


@pytest.mark.parametrize(
    ("override", "setting"),
    [
        ("trick=[minibatch_stddev]", r"trick=\[minibatch_stddev\]"),
        ("compile=true", "compile=true"),
        ("train.batch_size=16", "train.batch_size=16"),
    ],
)
def test_what_several_processes_cannot_do_is_a_config_error(make_run, monkeypatch, override, setting):
    for module in (rank, distributed):
        monkeypatch.setattr(module, "WORLD_SIZE", 3)
    monkeypatch.setattr(distributed, "rank_zero_first", nullcontext)
    with pytest.raises(ConfigError, match=setting):
        make_run("train.batch_size=12", override)
