"""Sweeps whose runs lie side by side: on this machine, and on a cluster that takes them away and gives them back."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gan.system import files
from tests.cli import slurm
from tests.conftest import ROOT, TINY, same_weights


def launch(*arguments: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", *TINY, *arguments],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="submitit's signal is one of Unix")
def test_a_slurm_may_take_a_run_away_and_give_it_back(train_here, cache, tmp_path):
    """SLURM's warning stops it at once, saved; submitit has it queued again; it ends as if nothing had happened."""
    (tmp_path / "slurm").mkdir()
    path = slurm.install(tmp_path / "slurm")
    steps = ["train.max_steps=300", "watch.log_every=100", "watch.samples_every=null", "seed=3"]
    sweep = launch(
        *steps, "hydra/launcher=slurm", f"cache_dir={cache}", f"hydra.sweep.dir={tmp_path / 'sweep'}", PATH=path
    )
    deadline = time.monotonic() + 90
    while not (found := list(tmp_path.glob("sweep/0_*/checkpoints/last.pt"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int((tmp_path / "slurm" / "pid_100").read_text()), signal.SIGUSR2)
    said, _ = sweep.communicate(timeout=90)
    assert sweep.returncode == 0 and " finished " in said, said
    assert (tmp_path / "slurm" / "requeued").read_text() == "requeue 100\n"
    assert "Stopped after" in (tmp_path / "slurm" / "out").read_text()
    script = (tmp_path / "slurm" / "script.sh").read_text()
    assert all(line in script for line in ("#SBATCH --time=240", "#SBATCH --requeue", "#SBATCH --signal=USR2@120"))
    train_here(tmp_path / "undisturbed", *steps)
    run = found[0].parent.parent
    assert same_weights(run, tmp_path / "undisturbed")
    assert [row["step"] for row in files.read_rows(run / "metrics.jsonl")] == [100, 200, 300]


def test_runs_side_by_side_give_the_numbers_of_runs_one_after_another(train_here, cache, tmp_path):
    sweep = launch(
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "seed=1,2",
        "train.max_steps=20",
        f"cache_dir={cache}",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )
    said, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0 and said.count(" finished ") == 2, said
    for seed, folder in zip((1, 2), sorted((tmp_path / "sweep").glob("[01]_*")), strict=True):
        train_here(tmp_path / str(seed), "train.max_steps=20", f"seed={seed}")
        assert same_weights(folder, tmp_path / str(seed))
