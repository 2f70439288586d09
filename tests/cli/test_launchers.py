"""Sweeps with several jobs at once: on this machine, and on a SLURM cluster that preempts them."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gan.system import files
from gan.system.locks import is_locked
from gan.training import checkpoint
from hydra_plugins._gan_planned import on_signals
from hydra_plugins._gan_processes import CAN_FORK
from tests.cli import slurm
from tests.conftest import ROOT, TINY, read_status, same_weights

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def launch(*arguments: str, own_group: bool = False, **environment: str) -> subprocess.Popen:
    """Start a sweep of small runs in a new process, which may have a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "train.py", "-m", *TINY, *arguments],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=own_group,
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
    assert " export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK\n" in script  # since SLURM 22.05, srun does not know them
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


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere each job has imports of its own")
@pytest.mark.slow
def test_jobs_in_parallel_share_imports_also_far_from_the_repository(cache, tmp_path):
    """What the current folder has is not imported in place of this project. Jobs have the sweep's environment."""
    decoy = tmp_path / "here" / "gan"
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text("raise SystemExit('the wrong one')")
    settings = [*TINY, *JOBLIB, "seed=1,2,3", "train.max_steps=1", f"cache_dir={cache}", "dataset.count=640"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", ROOT / "train.py", "-m", *settings, f"hydra.sweep.dir={tmp_path / 'sweep'}"],
        cwd=decoy.parent, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count(" finished ") == 3, done.stdout
    for module in ("torch", "torch._dynamo", "gan.training.loop"):
        assert len(re.findall(rf"\|\s+{module}$", done.stderr, re.MULTILINE)) == 1, module


@pytest.mark.parametrize("is_ignored", [True, False])
def test_a_sweep_does_not_hear_a_signal_that_is_ignored(is_ignored):
    """As SIGHUP is after `nohup`."""
    received = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    try:
        with on_signals([signal.SIGHUP], received.append):
            signal.raise_signal(signal.SIGHUP)
        assert received == ([] if is_ignored else [signal.SIGHUP])
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if is_ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


ENDLESS = ["train.max_steps=100000", "train.epochs=100000", "watch.samples_every=null", "watch.log_every=1"]


def start_endless(cache, folder, *overrides):
    """Start a sweep that does not end; returns its process once its first two jobs have saved a checkpoint."""
    sweep = launch("seed=1,2,3", *ENDLESS, *overrides, f"cache_dir={cache}", f"hydra.sweep.dir={folder}")
    wait_until(lambda: len(files.read_rows(folder / "seed-1" / "metrics.jsonl")) > 1, sweep)
    if "hydra/launcher=joblib" in overrides:
        wait_until(lambda: len(files.read_rows(folder / "seed-2" / "metrics.jsonl")) > 1, sweep)
    return sweep


def wait_until(condition, process):
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "launcher"),
    [
        (signal.SIGTERM, JOBLIB),
        (signal.SIGHUP, JOBLIB),
        (signal.SIGINT, JOBLIB),
        (signal.SIGTERM, []),
        (signal.SIGINT, []),
    ],
    ids=["SIGTERM-joblib", "SIGHUP-joblib", "SIGINT-joblib", "SIGTERM", "SIGINT"],
)
@pytest.mark.slow
def test_a_signal_stops_a_sweep_whose_last_line_goes_on_with_it(cache, tmp_path, number, launcher):
    """Every job saves and stops, none runs on, and none of the jobs prints a line of its own."""
    sweep = start_endless(cache, tmp_path, *launcher)
    sweep.send_signal(number)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + number and "Traceback" not in output, output
    states = ["stopped", "stopped" if launcher else "not started", "not started"]
    for seed, state in enumerate(states, 1):
        assert re.search(rf"^seed-{seed} +{state} ", output, re.MULTILINE), output
        if state == "stopped":
            folder = tmp_path / f"seed-{seed}"
            assert read_status(folder)["state"] == "stopped" and not is_locked(folder / ".lock")
            assert checkpoint.load(folder)["step"] == read_status(folder)["step"] > 0
    (line,) = [line.removeprefix("  resume ").strip() for line in output.splitlines() if "train.py" in line]
    python, *words = shlex.split(line)
    assert python == "python" and words[:2] == ["train.py", "-m"] and f"hydra.sweep.dir={tmp_path}" in words
    overrides = OverridesParser.create().parse_overrides(words[2:])
    assert {"seed", "train.max_steps"} < {override.key_or_group for override in overrides}


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere jobs are not forked")
@pytest.mark.slow
def test_sigterm_to_all_processes_of_a_sweep_stops_it_also_while_its_jobs_are_started(cache, tmp_path):
    """As `timeout` sends it. Modules are then imported for the jobs, in a process of its own."""
    arguments = [*JOBLIB, "seed=1,2,3", *ENDLESS, f"cache_dir={cache}", f"hydra.sweep.dir={tmp_path}"]
    sweep = launch(*arguments, own_group=True)
    wait_until(lambda: any(b"forkserver" in line for line in command_lines_of_children(sweep.pid)), sweep)
    os.killpg(sweep.pid, signal.SIGTERM)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + signal.SIGTERM and "Traceback" not in output, output
    assert re.search(r"^seed-3 +not started ", output, re.MULTILINE) and f"hydra.sweep.dir={tmp_path}" in output, output


def command_lines_of_children(parent):
    for process in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(OSError):
            yield Path(f"/proc/{process}/cmdline").read_bytes()


@pytest.mark.slow
def test_a_job_that_is_killed_does_not_end_the_sweep_which_goes_on_with_it_later(cache, tmp_path):
    """As by the system where memory runs out."""
    steps = [
        "train.max_steps=300",
        "watch.log_every=1",
        "watch.checkpoint_every=10",
        "watch.samples_every=null",
        "train.epochs=100",
    ]
    arguments = [*JOBLIB, "seed=1,2,3", *steps, f"cache_dir={cache}", f"hydra.sweep.dir={tmp_path}"]
    sweep = launch(*arguments)
    wait_until(lambda: len(files.read_rows(tmp_path / "seed-2" / "metrics.jsonl")) > 15, sweep)
    os.kill(process_of(tmp_path / "seed-2"), signal.SIGKILL)
    output, _ = sweep.communicate(timeout=100)
    assert sweep.returncode == 1 and "seed-2: its process was killed by SIGKILL" in output, output
    rows = dict(re.findall(r"^(seed-\d) +(\w+) ", output, re.MULTILINE))
    assert rows == {"seed-1": "finished", "seed-2": "interrupted", "seed-3": "finished"}
    assert "SIGKILL" in read_status(tmp_path / "seed-2")["error"]
    again, _ = (sweep := launch(*arguments)).communicate(timeout=100)
    assert sweep.returncode == 0 and again.count("skipped") == 2, again
    assert read_status(tmp_path / "seed-2") | {"state": "finished", "step": 300, "error": None} == read_status(
        tmp_path / "seed-2"
    )


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere jobs are not forked")
@pytest.mark.slow
def test_a_sweep_also_notes_and_stops_jobs_whose_server_is_killed(cache, tmp_path):
    """It then knows neither their exit codes nor when they end, but starts another server for other jobs."""
    sweep = start_endless(cache, tmp_path, *JOBLIB)
    job = process_of(tmp_path / "seed-2")
    os.kill(parent_of(job), signal.SIGKILL)
    os.kill(job, signal.SIGKILL)
    wait_until(lambda: files.read_rows(tmp_path / "seed-3" / "metrics.jsonl"), sweep)
    sweep.terminate()
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 128 + signal.SIGTERM and "seed-2: its process was killed" in output, output
    rows = dict(re.findall(r"^(seed-\d) +(\w+) ", output, re.MULTILINE))
    assert rows == {"seed-1": "stopped", "seed-2": "interrupted", "seed-3": "stopped"}


def parent_of(process):
    return int(re.search(r"^PPid:\s+(\d+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)[1])


def process_of(folder):
    """The process that has a file in `folder` open."""
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if path.readlink() == folder / "metrics.jsonl" or path.readlink() == folder / ".lock":
                return int(path.parts[2])
    raise LookupError(folder)


@pytest.mark.slow
def test_the_jobs_of_a_sweep_whose_process_is_killed_save_and_stop(cache, tmp_path):
    sweep = start_endless(cache, tmp_path, *JOBLIB)
    sweep.kill()
    sweep.communicate(timeout=60)  # they have its output open
    assert [read_status(tmp_path / f"seed-{seed}")["state"] for seed in (1, 2)] == ["stopped", "stopped"]
