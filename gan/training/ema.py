"""The averaged generator: steadier than any of the ones it follows (Yazıcı et al. 2019)."""

import copy

import torch
from torch import nn


class EMA:
    """An exponential moving average of a network's weights. Its buffers are those of the network.

    Args:
        decay: share of the old average that a step keeps. In the first steps it is smaller, (1 + t) / (10 + t),
            so that the first weights, which are noise, are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = copy.deepcopy(network).eval().requires_grad_(False), decay
        self.weights, self.followed = list(self.network.parameters()), list(network.parameters())
        self.buffers = list(zip(self.network.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights as they are after `step` updates."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.weights, self.followed, 1 - decay)
        for mine, theirs in self.buffers:
            mine.copy_(theirs)
