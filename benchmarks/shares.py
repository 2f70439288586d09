"""Where the time of a step goes: torch's profiler, summed up by what its calls are for.

It is the processor's time. With a GPU that is what it takes to ask for the work, not to do it.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.clock import median_seconds

KINDS = {
    "products": r"::(mm|addmm|bmm)$|convolution",
    "optimisers": r"_fused_|Optimizer",
    "normalisation": r"batch_norm",
    "activations, pooling": r"relu|tanh|sigmoid|clamp_min|threshold|pool|::a?max$|scatter",
    "random numbers": r"random_|normal_|uniform_|bernoulli|randperm",
    "copies": r"::(copy_|cat|index_select|fill_|zero_)$",
}
REST = "the rest"


class Shares(NamedTuple):
    """A step, looked into.

    Args:
        operations: of its matrix products and convolutions.
        kinds: of each of `KINDS`, and of the rest, its share of the time within calls, in 0 to 1.
        calls: how many there are in a step.
    """

    operations: int
    kinds: dict[str, float]
    calls: float


def look(step: Callable[[], Any], times: int) -> Shares:
    """Profile so many steps."""
    needed = operations(step)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(times):
            step()
    found, calls = Counter(dict.fromkeys([*KINDS, REST], 0.0)), 0
    for event in profiler.key_averages():
        found[kind(event.key)] += event.self_cpu_time_total
        calls += event.count
    total = sum(found.values())
    return Shares(needed, {name: time / total for name, time in found.items()}, calls / times)


def kind(call: str) -> str:
    """What a call of this name is for: one of `KINDS`, or the rest."""
    return next((name for name, pattern in KINDS.items() if re.search(pattern, call)), REST)


def best_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large matrix product or a large convolution, whichever is faster here."""
    left, right = (torch.randn(2048, 2048, device=device).to(dtype) for _ in range(2))
    maps, weights = (torch.randn(shape, device=device).to(dtype) for shape in [(64, 256, 32, 32), (256, 256, 3, 3)])
    maps, weights = (tensor.to(memory_format=torch.channels_last) for tensor in (maps, weights))
    large = [lambda: left @ right, lambda: F.conv2d(maps, weights, padding=1)]
    return max(operations(call) / median_seconds(call, 2.0) for call in large)


def operations(call: Callable[[], Any]) -> int:
    """Those of the matrix products and convolutions in it, an addition and a multiplication being two."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
