"""Timing that waits for the device."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def mean_seconds(function: Callable[[], Any], calls: int) -> float:
    """Mean time of a call."""
    synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        function()
    synchronize()
    return (time.perf_counter() - start) / calls


def median_seconds(function: Callable[[], Any], min_seconds: float) -> float:
    """Median time of a call, measured for at least `min_seconds` after a warm-up."""
    mean_seconds(function, 3)
    calls = max(int(1e-3 / mean_seconds(function, 1)), 1)  # so that a wait for the device weighs little
    times: list[float] = []
    end = time.perf_counter() + min_seconds
    while time.perf_counter() < end or len(times) < 3:
        times.append(mean_seconds(function, calls))
    return statistics.median(times)


def kernel_seconds(function: Callable[[], Any], min_seconds: float) -> float:
    """The same without the time that launching takes on a GPU: there ten calls are one CUDA graph."""
    if not torch.cuda.is_available():
        return median_seconds(function, min_seconds)
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        function()
    synchronize()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(10):
            function()
    return median_seconds(graph.replay, min_seconds) / 10


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
