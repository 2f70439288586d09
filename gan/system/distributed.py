"""The little that several processes need to train one run: each takes its share of a batch, gradients are averaged.

All have the same weights at all times, since they begin with the same and move along the same gradient. Every
process draws the noise and the order of the images of the whole batch, and takes its share; dropout, and what
tricks draw, each draws for itself.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan.config.errors import ConfigError
from gan.system.rank import RANK, WORLD_SIZE

PATIENCE = timedelta(minutes=30)  # one process may train the network for scores while the others wait


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """While this lasts, the processes that torchrun has started are one group; alone, it does nothing."""
    if WORLD_SIZE == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield
    gc.collect()  # gloo may abort where something of it is still alive
    dist.barrier()
    dist.destroy_process_group()


def local_slice(batch_size: int) -> slice:
    """The part of a batch that is this process's. Raises ConfigError where it cannot be divided."""
    if batch_size % WORLD_SIZE:
        raise ConfigError(
            f"train.batch_size={batch_size} cannot be shared by {WORLD_SIZE} processes: it should be a multiple."
        )
    size = batch_size // WORLD_SIZE
    return slice(RANK * size, (RANK + 1) * size)


@torch.no_grad()
def all_reduce_mean(tensors: list[Tensor]) -> None:
    """Replace each of `tensors` by its mean over the processes, in one message."""
    if WORLD_SIZE > 1:
        message = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(message)
        message /= WORLD_SIZE
        for tensor, part in zip(tensors, message.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


def from_rank_zero(find: Callable[[], Any]) -> Any:
    """What process 0 finds (tensors on the CPU, numbers, text), for all. Raises ConfigError in all where it does."""
    if WORLD_SIZE == 1:
        return find()
    held = [None]
    if RANK == 0:
        try:
            held = [find()]
        except ConfigError as error:
            held = [error]
    dist.broadcast_object_list(held)
    if isinstance(held[0], ConfigError):
        raise held[0]
    return held[0]


def all_reduce_max(number: int, device: torch.device) -> int:
    """The greatest of all processes' numbers."""
    if WORLD_SIZE == 1:
        return number
    held = torch.tensor(number, device=device)
    dist.all_reduce(held, dist.ReduceOp.MAX)
    return int(held)


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Process 0 does this before the others, which then find what it has put into a cache."""
    if WORLD_SIZE > 1 and RANK:
        dist.barrier()
    try:
        yield
    finally:  # what is refused here, the others will refuse as well
        if WORLD_SIZE > 1 and not RANK:
            dist.barrier()


class _MeanOfAll(torch.autograd.Function):
    """A tensor's mean over the processes, which can be differentiated any number of times."""

    @staticmethod
    def forward(_: Any, mine: Tensor) -> Tensor:
        total = mine.clone()
        dist.all_reduce(total)
        return total / WORLD_SIZE

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _MeanOfAll.apply(gradient.contiguous())


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the whole batch, of which each process has a part of the same size.

    torch.nn.SyncBatchNorm does this for GPUs alone.
    """

    def _check_input_dim(self, inputs: Tensor) -> None:
        pass

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        others = [axis for axis in range(inputs.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(inputs.dim())]
        exact = inputs.float()
        mean = _MeanOfAll.apply(exact.mean(others))
        spread = exact - mean.view(shape)
        variance = _MeanOfAll.apply(spread.square().mean(others))
        count = WORLD_SIZE * inputs.numel() // inputs.shape[1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (spread * scale.view(shape) + self.bias.view(shape)).to(inputs.dtype)


def sync_batch_norm(network: nn.Module) -> None:
    """Let every BatchNorm in `network` see the whole batch, where that is shared by several processes."""
    if WORLD_SIZE == 1:
        return
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                shared = SyncBatchNorm(child.num_features, child.eps, child.momentum)
                shared.load_state_dict(child.state_dict())
                setattr(parent, name, shared)
