"""Low precision, and values that are not finite."""

import copy
import math
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


class NonFiniteGuard:
    """Makes both optimizers skip their steps, from the first loss or gradient that is not finite.

    Fused optimizers skip a step while `found_inf` is 1, as with `torch.amp.GradScaler`. So the host need not wait for
    the GPU in each step: it reads `failed_at` of the players when it logs.
    """

    def __init__(self, device: torch.device) -> None:
        self.found_inf = torch.zeros((), device=device)
        self.step = torch.zeros((), dtype=torch.int64, device=device)  # number of the current step; the first is 1

    def check(self, value: Tensor, failed_at: Tensor) -> None:
        """Set `found_inf` if `value` (0-d) is not finite, and `failed_at` if it is the first such value."""
        bad = value * 0 != 0  # 0 times infinity or NaN is NaN; isfinite takes twice as many kernels
        torch.where(bad > self.found_inf, self.step, failed_at, out=failed_at)
        torch.maximum(self.found_inf, bad, out=self.found_inf)


def are_finite(groups: list[list[Tensor]]) -> list[bool]:
    """For each group of tensors, whether all of their values are finite. Waits for the device, once."""
    norms = torch._foreach_norm([tensor for group in groups for tensor in group], math.inf)
    finite = iter(torch.stack(norms).isfinite().tolist())
    return [all(list(islice(finite, len(group)))) for group in groups]


def bf16_copy(network: nn.Module) -> nn.Module:
    """The same network with the weights of linear and convolutional layers in bfloat16, sharing all other tensors.

    With autocast alone, each call would cast the weights, and each backward pass their gradients.
    """
    layers = [module for module in network.modules() if isinstance(module, (nn.Linear, _ConvNd))]
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    for weight in (weight for layer in layers for weight in layer.parameters(recurse=False)):
        memo[id(weight)] = nn.Parameter(weight.detach().bfloat16(), weight.requires_grad)
    return copy.deepcopy(network, memo)  # deepcopy takes from the memo instead of copying
