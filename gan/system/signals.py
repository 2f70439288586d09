"""Ctrl-C, SIGTERM, a closed terminal and a cluster's time limit as requests to stop."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

UNWIND_SECONDS = 1.0  # that a program may need to leave what it does


class StopRequest:
    """Whether the run should stop.

    `signal` is the number of the signal received, or 0; `reason` a sentence, where the run itself decided to stop.
    """

    signal: int = 0
    reason: str | None = None


class Interrupted(KeyboardInterrupt):
    """A signal that ends the program, whose number is `signal`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def stop_signals() -> list[int]:
    """The signals that ask a program to stop. One that is ignored, as SIGHUP is under `nohup`, stays ignored.

    SIGUSR2 is one where a handler for it is installed: by submitit, in a job of a cluster, as a warning before its end.
    """
    on_cluster = hasattr(signal, "SIGUSR2") and callable(signal.getsignal(signal.SIGUSR2))
    names = ["SIGINT", "SIGHUP", "SIGTERM", *(["SIGUSR2"] if on_cluster else [])]
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has no SIGHUP
    return [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]


@contextlib.contextmanager
def handle_stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let `handler` handle them in this context. Python allows handlers in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in stop_signals()}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextlib.contextmanager
def interruptions() -> Iterator[None]:
    """Raise Interrupted at one of the signals, as Ctrl-C does.

    Those that follow at once, as from a terminal that closes, do not disturb what is done about the first. A later one
    interrupts again: where Python calls `__del__` an exception is lost.
    """
    raised_at = -math.inf

    def interrupt(number: int, _frame: object) -> None:
        nonlocal raised_at
        if number == signal.SIGINT or time.monotonic() - raised_at > UNWIND_SECONDS:
            raised_at = time.monotonic()
            raise Interrupted(number)

    with handle_stop_signals(interrupt):
        yield


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Record the first of the signals in the yielded object. Later ones change nothing, but a second Ctrl-C interrupts.

    So what a run writes when it stops is complete, whatever else its system sends.
    """
    request = StopRequest()
    received = []

    def record(number: int, _frame: object) -> None:
        request.signal = request.signal or number
        received.append(number)
        if number == signal.SIGINT and received.count(number) > 1:
            raise Interrupted(number)

    with handle_stop_signals(record):
        yield request
