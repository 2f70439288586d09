"""The processes of a sweep's jobs."""

import multiprocessing
import os
import signal
import sys

import pytest

from hydra_plugins._gan_planned import STOP_SIGNALS
from hydra_plugins._gan_processes import CAN_FORK, imports_as_here, start_process

IMPORT_AND_FORK = """
import importlib, os, pathlib, sys
from hydra_plugins._gan_processes import PRELOADED
for name in PRELOADED:
    importlib.import_module(name)
import torch
print(*[line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("Threads")])
sys.stdout.flush()
if os.fork():
    os.wait()
else:
    print(torch.cuda._is_in_bad_fork())
"""


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere jobs are not forked")
@pytest.mark.slow
def test_what_jobs_are_forked_from_has_one_thread_and_has_not_used_a_gpu(process):
    """After torch.cuda.is_available(), for one, no child could use a GPU."""
    assert process("-c", IMPORT_AND_FORK, OMP_NUM_THREADS="1").stdout.split() == ["Threads:", "1", "False"]


JOB = """
import os, pathlib
for process in (os.getpid(), os.getppid()):
    lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    print(*[line.split()[1] for line in lines if line.startswith("SigBlk")])
"""
START = f"""
from hydra_plugins import _gan_processes
_gan_processes.PRELOADED.clear()  # which take seconds
_gan_processes.start_process(exec, ({JOB!r},)).join()
"""


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere jobs are not forked")
def test_what_jobs_are_forked_from_hears_no_signal_that_stops_a_sweep(process):
    """It is in the process group of the sweep, to all of which `timeout`, for one, sends SIGTERM."""
    job, server = (blocked_signals(line) for line in process("-c", START).stdout.splitlines())
    assert set(STOP_SIGNALS) <= server and not set(STOP_SIGNALS) & job


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere no socket is needed")
def test_a_job_starts_and_hears_signals_where_the_path_of_temporary_files_is_too_long_for_a_socket(process, tmp_path):
    done = process("-c", START, TMPDIR=str(long_folder(tmp_path)))
    assert done.returncode == 0 and not set(STOP_SIGNALS) & blocked_signals(done.stdout.splitlines()[0]), done.stderr


def blocked_signals(mask):
    """The signals in a mask of /proc."""
    return {number for number in signal.valid_signals() if int(mask, 16) >> (number - 1) & 1}


def long_folder(parent):
    """A folder whose path has at least 120 characters."""
    folder = parent / ("long" * 30)
    folder.mkdir()
    return folder


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere nothing is changed")
def test_the_environment_and_the_signals_of_a_sweep_are_as_before_when_a_job_has_started():
    before, blocked = dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(OSError, match="made up"), imports_as_here():
        assert os.environ["PYTHONPATH"].split(os.pathsep) == sys.path and os.environ["PYTHONSAFEPATH"] == "1"
        assert set(STOP_SIGNALS) <= signal.pthread_sigmask(signal.SIG_BLOCK, [])
        raise OSError("made up")
    assert dict(os.environ) == before and signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked


@pytest.mark.slow
def test_a_job_has_the_environment_of_its_sweep_and_hears_signals(monkeypatch):
    for value in ("one", "two"):  # also when it has changed since the first job
        monkeypatch.setenv("MADE_UP", value)
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = start_process(send_environment, (sender,))
        sender.close()
        environment, blocked = receiver.recv()
        process.join()
        assert environment["MADE_UP"] == value and "PYTHONSAFEPATH" not in environment
        assert not set(STOP_SIGNALS) & set(blocked) and process.exitcode == 0


def send_environment(sender):
    sender.send((dict(os.environ), signal.pthread_sigmask(signal.SIG_BLOCK, [])))
