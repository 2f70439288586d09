"""Requests to stop."""

import signal

import pytest

from gan.system import signals


@pytest.mark.parametrize(
    ("number", "exception"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGUSR2, ZeroDivisionError)]
)
def test_the_first_signal_is_a_request_and_the_second_has_its_usual_effect(number, exception):
    """SIGUSR2 counts because a handler is installed here, as by submitit on a cluster."""

    def handler(_number, _frame):
        raise exception

    previous = signal.signal(number, handler)
    try:
        with signals.stop_requests() as stop, pytest.raises(exception):
            signal.raise_signal(number)
            assert stop.signal == number
            signal.raise_signal(number)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, previous)
