"""Sweeps with several jobs at once: on this machine, and on a SLURM cluster that preempts them."""

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
    """Start a sweep of small runs in a new process."""
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", *TINY, *arguments],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="submitit's signal is one of Unix")
@pytest.mark.slow
def test_a_preempted_slurm_job_is_requeued_and_ends_as_if_undisturbed(train_here, cache, tmp_path):
    """SLURM's signal saves and stops it; submitit queues it again; its weights equal those of an unbroken run."""
    (tmp_path / "slurm").mkdir()
    path = slurm.install(tmp_path / "slurm")
    steps = ["train.max_steps=300", "watch.log_every=100", "watch.samples_every=null", "seed=3"]
    sweep = launch(
        *steps, "hydra/launcher=slurm", f"cache_dir={cache}", f"hydra.sweep.dir={tmp_path / 'sweep'}", PATH=path
    )
    deadline = time.monotonic() + 90
    while not (checkpoints := list(tmp_path.glob("sweep/*/checkpoints/last.pt"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(int((tmp_path / "slurm" / "pid_100").read_text()), signal.SIGUSR2)
    output, _ = sweep.communicate(timeout=90)
    assert sweep.returncode == 0 and " finished " in output, output
    assert (tmp_path / "slurm" / "requeued").read_text() == "requeue 100\n"
    assert "Stopped after" in (tmp_path / "slurm" / "out").read_text()
    script = (tmp_path / "slurm" / "script.sh").read_text()
    assert all(line in script for line in ("#SBATCH --time=240", "#SBATCH --requeue", "#SBATCH --signal=USR2@120"))
    train_here(tmp_path / "undisturbed", *steps)
    run = checkpoints[0].parent.parent
    assert same_weights(run, tmp_path / "undisturbed")
    assert [row["step"] for row in files.read_rows(run / "metrics.jsonl")] == [100, 200, 300]


@pytest.mark.slow
def test_jobs_in_parallel_give_the_same_weights_as_runs_alone(train_here, cache, tmp_path):
    sweep = launch(
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "seed=1,2",
        "train.max_steps=20",
        f"cache_dir={cache}",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )
    output, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0 and output.count(" finished ") == 2, output
    for seed in (1, 2):
        train_here(tmp_path / str(seed), "train.max_steps=20", f"seed={seed}")
        assert same_weights(tmp_path / "sweep" / f"seed-{seed}", tmp_path / str(seed))
