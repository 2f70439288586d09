"""Training time: what is counted of it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gan.training import clock
from gan.training.clock import Estimate, TrainingClock
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


def test_the_rest_is_estimated_once_without_the_slow_start():
    """A first step of 30 s, then two a second."""
    estimate = Estimate(total_steps=1000, images_per_step=32)
    said = {step: line for step in range(1, 200) if (line := estimate.say(step, 30 + (step - 1) / 2))}
    ((step, line),) = said.items()
    assert 30 + (step - 1) / 2 == 35  # a second to warm up, and four that are measured
    assert "8 min 14 s" in line and "989 steps" in line and " 2 steps" in line and "64 images" in line


def test_a_run_that_is_about_to_end_has_no_estimate():
    estimate = Estimate(total_steps=14, images_per_step=32)
    assert not any(estimate.say(step, step / 2) for step in range(1, 15))


def test_a_run_of_slow_steps_has_an_estimate_too():
    estimate = Estimate(total_steps=100, images_per_step=32)
    assert "9 min 48 s for the other 98 steps" in next(filter(None, (estimate.say(n, 6.0 * n) for n in (1, 2))))
