"""The floor: the least time that a step's arithmetic takes on this machine, however the loop is written.

The matrix products and convolutions of a step are counted where they are called. Each distinct one is then timed alone,
on tensors of the same shape, layout and type, which stay in the caches; in a step fewer do. What the optimizers must
read and write is added, at the rate of a copy.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.timing import kernel_seconds, median_seconds
from gan.models.fast_layers import HAS_ONEDNN
from gan.player import Player

COUNTED = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
} | ({torch.ops.mkldnn._linear_pointwise.default} if HAS_ONEDNN else set())


class ProductCounter(TorchDispatchMode):
    """While active, counts the calls of matrix products and convolutions by their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function in COUNTED:
            self.calls[function, *map(describe, args)] += 1
        return function(*args, **(kwargs or {}))

    def seconds(self, min_seconds: float) -> float:
        """Time of all counted calls, each distinct one measured for at least `min_seconds`."""
        return sum(count * kernel_seconds(replay(call), min_seconds) for call, count in self.calls.items())


def describe(argument: Any) -> Any:
    """An argument as a dictionary key: a tensor by its shape, strides, type and device."""
    if isinstance(argument, Tensor):
        return Tensor, tuple(argument.shape), argument.stride(), argument.dtype, argument.device
    return tuple(argument) if isinstance(argument, list) else argument


def replay(call: tuple) -> Callable[[], Any]:
    """A function that repeats a counted call on random tensors."""
    function, *descriptions = call
    arguments = [make_argument(description) for description in descriptions]
    return lambda: function(*arguments)


def make_argument(description: Any) -> Any:
    """The inverse of `describe`, with random tensors."""
    if not isinstance(description, tuple):
        return description
    if not description or description[0] is not Tensor:
        return list(description)
    _, shape, strides, dtype, device = description
    length = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return torch.randn(length, device=device).to(dtype).as_strided(shape, strides)


def optimizer_bytes(player: Player) -> int:
    """Bytes an update reads and writes: per weight, Adam reads 4 numbers and writes 3, SGD with momentum 3 and 2."""
    numbers = 7 if isinstance(player.optimizer, torch.optim.Adam) else 5
    return sum(numbers * parameter.nbytes for parameter in player.parameters)


def copy_seconds(nbytes: int, device: torch.device, min_seconds: float) -> float:
    """Time of a copy that reads and writes `nbytes` in total."""
    source = torch.ones(nbytes // 8, device=device)  # 4 bytes are read and 4 written per number
    target = torch.empty_like(source)
    return median_seconds(lambda: target.copy_(source), min_seconds)
