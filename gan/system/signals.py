"""Ctrl-C, SIGTERM and a cluster's warning as a wish to stop, heard between two steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class StopRequest:
    """Whether to stop: the number of the signal that asked for it, or 0; or the run's own reason, in a sentence."""

    signal: int = 0
    reason: str | None = None


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note the first SIGINT or SIGTERM in the object that is handed out; a second one acts as usual.

    Where somebody handles SIGUSR2 already, that is heard and not SIGTERM: submitit's warning that a job's time on a
    cluster is over, after which it queues the job again; submitit itself passes over SIGTERM, which comes first.
    """
    request = StopRequest()
    warned = hasattr(signal, "SIGUSR2") and callable(signal.getsignal(signal.SIGUSR2))
    heard = (signal.SIGINT, signal.SIGUSR2 if warned else signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():  # Python takes no handlers there
        yield request
        return
    before = {number: signal.getsignal(number) for number in heard}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: object) -> None:
        request.signal = number
        restore()

    for number in heard:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
