"""Timing that waits for the device."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def seconds(function: Callable[[], Any], times: int) -> float:
    """The mean time of a call, over `times` of them."""
    wait_for_device()
    start = time.perf_counter()
    for _ in range(times):
        function()
    wait_for_device()
    return (time.perf_counter() - start) / times


def median_seconds(function: Callable[[], Any], least: float) -> float:
    """The median time of a call over about `least` seconds, after a few calls that warm up."""
    seconds(function, 3)
    at_once = max(int(1e-3 / seconds(function, 1)), 1)  # so that a wait for the device weighs little
    found, end = [], time.perf_counter() + least
    while time.perf_counter() < end or len(found) < 3:
        found.append(seconds(function, at_once))
    return statistics.median(found)


def wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
