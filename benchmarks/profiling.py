"""Where the time of a step goes, from torch's profiler.

This is CPU time. With a GPU it is the time to launch the work, not to do it.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import median_seconds
from gan.models.fast_layers import HAS_ONEDNN

KINDS = {
    "products": r"::(mm|addmm|bmm|_linear_pointwise)$|convolution",
    "optimizers": r"_fused_|Optimizer",
    "normalization": r"batch_norm",
    "activations, pooling": r"relu|tanh|sigmoid|clamp_min|threshold|pool|::a?max$|scatter",
    "random numbers": r"random_|normal_|uniform_|bernoulli|randperm",
    "copies": r"::(copy_|cat|index_select|fill_|zero_)$",
}
REST = "the rest"


class StepProfile(NamedTuple):
    """Where the time of a step goes.

    Args:
        flops: of its matrix products and convolutions.
        fractions: of the time, for each of `KINDS` and for the rest.
        calls: number of operator calls.
    """

    flops: int
    fractions: dict[str, float]
    calls: float


def profile_step(step: Callable[[], Any], steps: int) -> StepProfile:
    """Profile a step, as the mean of `steps`."""
    flops = count_flops(step)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    times, calls = Counter(dict.fromkeys([*KINDS, REST], 0.0)), 0
    for event in profiler.key_averages():
        times[kind_of(event.key)] += event.self_cpu_time_total
        calls += event.count
    total = sum(times.values())
    return StepProfile(flops, {kind: time / total for kind, time in times.items()}, calls / steps)


def kind_of(operator: str) -> str:
    """The kind of an operator, by its name: one of `KINDS`, or the rest."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, operator)), REST)


def peak_flops(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP per second of a large matrix product or a large convolution, whichever is faster."""
    left, right = (torch.randn(2048, 2048, device=device).to(dtype) for _ in range(2))
    maps, weights = (torch.randn(shape, device=device).to(dtype) for shape in [(64, 256, 32, 32), (256, 256, 3, 3)])
    maps, weights = (tensor.to(memory_format=torch.channels_last) for tensor in (maps, weights))
    calls = [lambda: left @ right, lambda: F.conv2d(maps, weights, padding=1)]
    return max(count_flops(call) / median_seconds(call, 2.0) for call in calls)


def count_flops(call: Callable[[], Any]) -> int:
    """FLOP of the matrix products and convolutions in a call; a multiplication and an addition are two."""
    mapping = {}
    if HAS_ONEDNN:  # left (n, k) and right (m, k)
        mapping[torch.ops.mkldnn._linear_pointwise] = lambda left, right, *_, **__: 2 * left[0] * left[1] * right[0]
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        call()
    return counter.get_total_flops()
