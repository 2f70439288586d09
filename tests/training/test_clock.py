"""Training time: what is counted of it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gan.training import clock
from gan.training.clock import TrainingClock
from tests.conftest import ROOT, TINY, read_status
from tests.training.conftest import read_metrics


@pytest.fixture
def now(monkeypatch):
    """The time in seconds, which a test sets."""
    times = {"now": 100.0}
    monkeypatch.setattr(clock.time, "perf_counter", lambda: times["now"])
    return times


def test_the_time_between_steps_counts_and_that_before_the_first_does_not(now):
    with TrainingClock(5.0) as training:
        now["now"] += 10
        training.begin_step()
        now["now"] += 2
        assert training.seconds == 7
        training.begin_step()
        now["now"] += 3
        assert training.seconds == 10


def test_pauses_and_time_in_which_the_process_was_stopped_do_not_count(now):
    """Also where it was stopped in a pause, and of a step in which it was stopped, only what comes after."""
    with TrainingClock(0.0) as training:
        training.begin_step()
        now["now"] += 2
        with training.pause():
            now["now"] += 10
            signal.raise_signal(signal.SIGCONT)
            now["now"] += 10
            assert training.seconds == 2
        now["now"] += 1
        training.begin_step()
        now["now"] += 1000
        signal.raise_signal(signal.SIGCONT)
        now["now"] += 4
        assert training.seconds == 2 + 1 + 4


def test_another_handler_of_the_signal_is_called_too_and_comes_back(now):
    """Such as that of submitit on a cluster."""
    received = []
    previous = signal.signal(signal.SIGCONT, lambda number, _frame: received.append(number))
    try:
        with TrainingClock(0.0):
            signal.raise_signal(signal.SIGCONT)
        signal.raise_signal(signal.SIGCONT)
        assert received == [signal.SIGCONT] * 2
    finally:
        signal.signal(signal.SIGCONT, previous)


@pytest.mark.slow
def test_a_run_that_is_stopped_for_seconds_has_not_trained_in_them(cache, tmp_path):
    command = [
        sys.executable,
        "train.py",
        *TINY,
        f"cache_dir={cache}",
        f"hydra.run.dir={tmp_path}",
        "watch.log_every=1",
    ]
    process = subprocess.Popen([*command, "train.max_steps=300"], cwd=ROOT, stdout=subprocess.DEVNULL)
    began = time.monotonic() + 60
    while not (tmp_path / "metrics.jsonl").exists() or len(read_metrics(tmp_path)) < 5:
        assert time.monotonic() < began and process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    time.sleep(3)
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=60) == 0
    assert read_status(tmp_path)["seconds"] < time.monotonic() - began - 2.5
