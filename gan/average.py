"""The averaged generator: steadier than any of the ones it follows (Yazıcı et al. 2019)."""

import copy

import torch
from torch import nn


class Average:
    """An exponential moving average of a network's weights. Its buffers are those of the network.

    Args:
        decay: share of the old average that a step keeps. In the first steps it is smaller, (1 + t) / (10 + t),
            so that the first weights, which are noise, are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.followed, self.decay = network, decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Take in the weights as they are after `step` updates."""
        decay = min(self.decay, (1 + step) / (10 + step))
        weights, followed = list(self.network.parameters()), list(self.followed.parameters())
        torch._foreach_lerp_(weights, followed, 1 - decay)
        for mine, theirs in zip(self.network.buffers(), self.followed.buffers(), strict=True):
            mine.copy_(theirs)
