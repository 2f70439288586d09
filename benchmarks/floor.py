"""The least time that a step's arithmetic takes on this machine, whoever writes the loop.

Each matrix product and convolution of a step is counted where it is called. Each distinct one is then timed alone, on
arrays of the same shape, layout and type, which the caches hold; in a step they hold less. To that comes what
optimisers must read and write, at the rate of a copy.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.clock import median_seconds
from gan.player import Player

COUNTED = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
}


class Arithmetic(TorchDispatchMode):
    """While entered, counts the calls of matrix products and convolutions, by what they are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[tuple] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in COUNTED:
            self.calls[function, *map(described, args)] += 1
        return function(*args, **(kwargs or {}))

    def seconds(self, least: float) -> float:
        """What the counted calls take, each at the median of its kind over `least` seconds."""
        return sum(count * median_seconds(replay(call), least) for call, count in self.calls.items())


def described(argument: Any) -> Any:
    """An argument as something that can be counted: of a tensor, its shape, strides, type and device."""
    if isinstance(argument, Tensor):
        return Tensor, tuple(argument.shape), argument.stride(), argument.dtype, argument.device
    return tuple(argument) if isinstance(argument, list) else argument


def replay(call: tuple) -> Callable[[], Any]:
    """A counted call again, on other numbers."""
    function, *arguments = call
    made = [remade(argument) for argument in arguments]
    return lambda: function(*made)


def remade(argument: Any) -> Any:
    if not isinstance(argument, tuple):
        return argument
    if not argument or argument[0] is not Tensor:
        return list(argument)
    _, shape, strides, dtype, device = argument
    length = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return torch.randn(length, device=device).to(dtype).as_strided(shape, strides)


def optimizer_bytes(player: Player) -> int:
    """What a move must read and write: Adam 4 numbers and 3 for each weight, SGD with momentum 3 and 2."""
    numbers = 7 if isinstance(player.optimizer, torch.optim.Adam) else 5
    return sum(numbers * parameter.nbytes for parameter in player.parameters)


def copy_seconds(nbytes: int, device: torch.device, least: float) -> float:
    """How long a copy takes that reads and writes `nbytes` in all."""
    source = torch.ones(nbytes // 8, device=device)  # 4 bytes are read and 4 written for each number
    target = torch.empty_like(source)
    return median_seconds(lambda: target.copy_(source), least)
