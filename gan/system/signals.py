"""Ctrl-C, SIGTERM and a cluster's time limit as requests to stop, which the training loop reads between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class StopRequest:
    """Whether the run should stop.

    `signal` is the number of the signal received, or 0; `reason` a sentence, where the run itself decided to stop.
    """

    signal: int = 0
    reason: str | None = None


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Record the first SIGINT or SIGTERM in the yielded object; a second one has its usual effect.

    Where a handler for SIGUSR2 is installed, SIGUSR2 takes the place of SIGTERM: submitit handles it as the end of a
    job's time on a cluster, after which it queues the job again, and ignores the SIGTERM that comes before.
    """
    request = StopRequest()
    on_cluster = hasattr(signal, "SIGUSR2") and callable(signal.getsignal(signal.SIGUSR2))
    numbers = (signal.SIGINT, signal.SIGUSR2 if on_cluster else signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers in the main thread only
        yield request
        return
    previous = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def record(number: int, _frame: object) -> None:
        request.signal = number
        restore()

    for number in numbers:
        signal.signal(number, record)
    try:
        yield request
    finally:
        restore()
