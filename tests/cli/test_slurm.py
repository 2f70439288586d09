"""Sweeps on a SLURM cluster: a real one of this machine, where its programs are installed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gan.system import files
from hydra_plugins import _gan_slurm_job, _gan_submitit
from tests import forked
from tests.cli import slurm_cluster
from tests.conftest import ROOT, TINY, read_status, same_weights

needs_slurm = pytest.mark.skipif(
    not all(map(slurm_cluster.find, slurm_cluster.PROGRAMS)),
    reason=f"needs {', '.join(slurm_cluster.PROGRAMS)}: Debian's packages slurm-wlm and munge",
)
SMALL_JOB = ["hydra/launcher=slurm", "hydra.launcher.partition=main", "hydra.launcher.cpus_per_task=1"]
QUIET = ["watch.samples_every=null", "threads=1"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Environment variables with which programs find a real cluster."""
    with slurm_cluster.running(tmp_path_factory.mktemp("cluster")) as configuration:
        yield {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | {
            "SLURM_CONF": configuration
        }


@pytest.fixture
def sweep(cluster, cache, tmp_path):
    """Start a sweep of small runs on the cluster, from a folder that is not the repository's."""
    started = []

    def start(*arguments):
        line = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, *SMALL_JOB, *arguments]
        line += [f"cache_dir={cache}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(line, cwd=tmp_path, env=cluster, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
    slurm_cluster.kill_jobs(cluster)


def queue(cluster):
    """The jobs of the cluster, also those that have ended: state and name by number."""
    line = ["squeue", "--noheader", "--array", "--states=all", "--format=%i %T %j"]
    rows = subprocess.run(line, env=cluster, capture_output=True, text=True, check=True).stdout.splitlines()
    return {number: (state, name) for number, state, name in map(str.split, rows)}


def wait_until(condition, process, seconds=100):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def numbers_by_run(process):
    """Read what a sweep prints until it has submitted its jobs: their numbers by the names of their folders."""
    found = {}
    for line in process.stdout:
        if row := re.search(r"\t(\w+) : (\S+)$", line.rstrip()):
            found[row[2]] = row[1]
        elif "squeue" in line:
            return found
    raise AssertionError(found)


@needs_slurm
@pytest.mark.slow
def test_a_sweep_on_slurm_ends_as_one_here_and_squeue_tells_its_runs(sweep, cluster, train_here, tmp_path):
    process = sweep("seed=1,2,3", "train.max_steps=20", "threads=1")
    numbers = numbers_by_run(process)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0 and re.findall(r"^seed-\d +(\w+)", output, re.MULTILINE) == ["finished"] * 3, output
    expected = {f"seed-{seed}": ("COMPLETED", f"gan:sweep/seed-{seed}") for seed in (1, 2, 3)}
    wait_until(lambda: {run: queue(cluster)[number] for run, number in numbers.items()} == expected, None)  # soon after
    train_here(tmp_path / "here", "train.max_steps=20", "threads=1", "seed=3")
    assert same_weights(tmp_path / "sweep" / "seed-3", tmp_path / "here")


@pytest.mark.parametrize("line", ["scancel --signal=USR2 {job}", "sbatch --partition=urgent --ntasks=8 --wrap=true"])
@needs_slurm
@pytest.mark.slow
def test_a_warned_run_is_requeued_and_ends_as_if_undisturbed(sweep, cluster, train_here, tmp_path, line):
    """Warned as before the end of its time, and as by the job of another partition, which preempts it."""
    steps = ["train.max_steps=3000", "watch.log_every=100", "seed=3", *QUIET]
    process = sweep(*steps)
    (number,) = numbers_by_run(process).values()
    folder = tmp_path / "sweep" / "model-mlp"
    wait_until(lambda: files.read_rows(folder / "metrics.jsonl"), process)
    subprocess.run(line.format(job=number).split(), env=cluster, cwd=tmp_path, stdout=subprocess.DEVNULL, check=True)
    train_here(tmp_path / "undisturbed", *steps)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0 and re.search("^model-mlp +finished", output, re.MULTILINE), output
    assert (
        "Restarts=1"
        in subprocess.run(
            ["scontrol", "show", "job", number], env=cluster, capture_output=True, text=True, check=True
        ).stdout
    )
    assert same_weights(folder, tmp_path / "undisturbed")
    assert [row["step"] for row in files.read_rows(folder / "metrics.jsonl")] == list(range(100, 3001, 100))


@needs_slurm
@pytest.mark.slow
def test_slurm_warns_of_the_time_limit_and_cancelled_runs_are_shown_as_stopped(sweep, cluster, tmp_path):
    """Two runs at once; one is killed, one warned and requeued, and the third waits or runs when all are cancelled."""
    limit = ["timeout_min=1", "signal_delay_s=50", "array_parallelism=2"]
    limit = [f"hydra.launcher.{setting}" for setting in limit]
    process = sweep("seed=1,2,3", "train.max_steps=1000000", "watch.checkpoint_every=100", *limit)
    numbers = numbers_by_run(process)
    folders = {run: tmp_path / "sweep" / run for run in numbers}
    wait_until(lambda: all((folders[run] / "metrics.jsonl").exists() for run in ("seed-1", "seed-2")), process)
    os.kill(read_status(folders["seed-2"])["process"]["pid"], signal.SIGKILL)
    logs = tmp_path / "sweep" / ".submitit" / numbers["seed-1"]
    wait_until(lambda: "Requeued job" in next(logs.glob("*.out")).read_text(), process)
    assert read_status(folders["seed-1"])["state"] == "stopped"
    subprocess.run(["scancel", numbers["seed-1"].partition("_")[0]], env=cluster, check=True)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 1 and "Traceback" not in output, output
    rows = dict(re.findall(r"^(seed-\d) +(\w+)", output, re.MULTILINE))
    assert rows["seed-1"] == rows["seed-2"] == "stopped", output
    assert (output.count("ended without a result"), output.count("(failed)"), output.count("  resume  ")) == (3, 1, 1)
    ended = [read_status(folders[run]) for run in ("seed-1", "seed-2")]
    assert all(status["state"] == "stopped" and "1 thread;" in status["machine"] for status in ended)  # as its CPUs


@needs_slurm
@pytest.mark.slow
def test_the_documented_script_runs_torchrun_in_two_tasks_and_goes_on_after_a_warning(cluster, cache, tmp_path):
    settings = [*TINY, *QUIET, f"cache_dir={cache}", "train.max_steps=600", "watch.log_every=20", "optim=sgd"]
    usage = (ROOT / "docs" / "usage.md").read_text("utf-8")
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", usage, re.DOTALL)
    folder = tmp_path / "resumed"
    for documented, tried in {
        "outputs/dcgan": str(folder),
        "dataset=mnist model=dcgan": " ".join(settings),
        "29400": str(slurm_cluster.free_port()),
    }.items():
        assert script.count(documented) == 1
        script = script.replace(documented, tried)
    on_one_machine = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", f"--output={tmp_path / 'log'}"]
    torchruns = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    submit = ["sbatch", "--parsable", f"--chdir={ROOT}", *on_one_machine]
    environment = cluster | {"PATH": torchruns}
    done = subprocess.run(submit, input=script, env=environment, capture_output=True, text=True, check=True)
    number = done.stdout.strip()
    wait_until(lambda: files.read_rows(folder / "metrics.jsonl"), None)
    assert queue(cluster)[number] == ("RUNNING", "gan:dcgan")
    subprocess.run(["scancel", "--signal=TERM", number], env=cluster, check=True)
    undisturbed = forked.run_ranks(2, "train.py", *settings, f"hydra.run.dir={tmp_path / 'undisturbed'}")
    assert [each.returncode for each in undisturbed] == [0, 0], undisturbed
    wait_until(lambda: queue(cluster)[number][0] not in ("PENDING", "RUNNING", "COMPLETING"), None)
    log = (tmp_path / "log").read_text()
    assert queue(cluster)[number][0] == "COMPLETED", log
    assert "Stopped after" in log and "Finished after 600 steps" in log and "Force Terminated" not in log, log
    assert same_weights(folder, tmp_path / "undisturbed")


@needs_slurm
@pytest.mark.slow
def test_a_partition_that_slurm_lacks_is_one_sentence(sweep):
    process = sweep("seed=1,2", "hydra.launcher.partition=nosuch")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and output.count("\n") == 1 and "nosuch" in output, output


REFUSAL = "#!/bin/sh\necho 'sbatch: error: invalid account: nosuch' >&2\nexit 1\n"


@pytest.mark.parametrize(("commands", "named"), [({}, "sbatch"), ({"srun": "", "sbatch": REFUSAL}, "account: nosuch")])
def test_one_sentence_says_why_there_is_no_job(train, tmp_path, commands, named):
    for name, script in commands.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    done = train("-m", "hydra/launcher=slurm", "seed=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}", PATH=str(tmp_path))
    assert done.returncode == 1 and done.is_clean_exit() and named in done.stderr, done


def test_a_warning_waits_for_a_job_that_is_starting_in_any_folder(tmp_path):
    """It would end a process that has no handler for it, which takes seconds to import."""
    (tmp_path / "job.py").write_text(
        "import os, signal, sys, gan\n"
        "os.kill(os.getpid(), signal.SIGUSR2)\n"
        "signal.signal(signal.SIGUSR2, lambda *_: print('warned', *sys.argv[1:]))\n"
        "print('started')\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])\n"
    )
    line = [sys.executable, _gan_slurm_job.__file__, "-u", "-m", "job", "FOLDER"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["started", "warned", "FOLDER"]


def test_the_queue_tells_which_jobs_never_run_again():
    watcher = _gan_submitit.QueueWatcher()
    states = ["PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "COMPLETED", "CANCELLED", "NODE_FAIL"]
    for number in range(len(states) + 1):
        watcher.register_job(f"1_{number}")
    rows = "\n".join(f"1_{number} {state}" for number, state in enumerate(states))
    watcher._info_dict = watcher.read_info(rows)
    done = [watcher.is_done(f"1_{number}", mode="cache") for number in range(len(states) + 1)]
    assert done == [False] * 6 + [True] * 3  # the last is not in the queue any more
