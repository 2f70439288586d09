"""Exponential moving average (EMA) of the generator (Yazıcı et al. 2019)."""

import copy

import torch
from torch import Tensor

from gan.models.base import Generator


class EMA:
    """An exponential moving average of a network's weights, with the current buffers of the network.

    Args:
        decay: of the average, per step. It starts smaller, as (1 + step) / (10 + step), so that the initial weights are
            soon forgotten.

    Attributes:
        warms_up: false where the initial weights are those of a trained generator, and `decay` holds from the start.
    """

    def __init__(self, network: Generator, decay: float) -> None:
        self.network, self.decay = copy.deepcopy(network).eval().requires_grad_(False), decay
        self.warms_up = True
        self.weights: list[Tensor] = list(self.network.parameters())
        self.current_weights: list[Tensor] = list(network.parameters())
        self.buffers: dict[
            torch.dtype, tuple[list[Tensor], list[Tensor]]
        ] = {}  # by type, for one copy of each on a GPU
        for buffer, current in zip(self.network.buffers(), network.buffers(), strict=True):
            of_type = self.buffers.setdefault(buffer.dtype, ([], []))
            of_type[0].append(buffer)
            of_type[1].append(current)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` updates."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warms_up else self.decay
        torch._foreach_lerp_(self.weights, self.current_weights, 1 - decay)
        for buffers, current in self.buffers.values():
            torch._foreach_copy_(buffers, current)
