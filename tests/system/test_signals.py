"""Requests to stop."""

import contextlib
import signal

import pytest

from gan.system import signals

STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextlib.contextmanager
def handler(number, function):
    """A signal's handler in this context, with Ctrl-C and SIGHUP as Python sets them up in a terminal."""
    previous = {other: signal.signal(other, signal.SIG_DFL) for other in (*STOPPING, signal.SIGUSR2)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(number, function)
    try:
        yield
    finally:
        for other, before in previous.items():
            signal.signal(other, before)


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_is_a_request_and_only_a_second_ctrl_c_interrupts(number):
    with handler(number, before := signal.getsignal(number) or signal.SIG_DFL):
        with signals.stop_requests() as stop:
            signal.raise_signal(number)
            assert stop.signal == number
            for other in (signal.SIGTERM, signal.SIGHUP):
                signal.raise_signal(other)
            assert stop.signal == number
            if number == signal.SIGINT:
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(number)
        assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", STOPPING)
def test_signals_that_come_together_interrupt_a_program_once_and_a_later_one_again(number, monkeypatch):
    monkeypatch.setattr(signals, "UNWIND_SECONDS", 1000)
    with handler(signal.SIGTERM, signal.SIG_DFL), signals.interruptions():
        with pytest.raises(KeyboardInterrupt) as caught:
            signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        monkeypatch.setattr(signals, "UNWIND_SECONDS", -1)
        with pytest.raises(signals.Interrupted):
            signal.raise_signal(signal.SIGTERM)
    assert caught.value.signal == number


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGUSR2])
def test_on_a_cluster_sigusr2_asks_to_stop_as_sigterm_does(first):
    """SLURM sends SIGTERM to a job that is cancelled. A handler for both is installed there, by submitit."""
    received = []

    def note(number, _frame):
        received.append(number)

    with handler(signal.SIGUSR2, note):
        signal.signal(signal.SIGTERM, note)
        with signals.interruptions(), signals.stop_requests() as stop:
            signal.raise_signal(first)
            signal.raise_signal(signal.SIGUSR2)
            assert (stop.signal, received) == (first, [])
        assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGUSR2) is note


def test_an_ignored_signal_stays_ignored():
    """As SIGHUP is under nohup."""
    with handler(signal.SIGHUP, signal.SIG_IGN), signals.interruptions(), signals.stop_requests() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.signal == 0


def test_a_system_without_sighup_has_the_other_signals(monkeypatch):
    with handler(signal.SIGTERM, signal.SIG_DFL):
        for name in ("SIGHUP", "SIGUSR2"):
            monkeypatch.delattr(signal, name)
        assert signals.stop_signals() == [signal.SIGINT, signal.SIGTERM]
        monkeypatch.undo()
