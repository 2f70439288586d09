"""Data-parallel training: each process trains on its part of every batch, and gradients are averaged.

All processes start from the same weights and apply the same gradients, so their weights stay equal. Each draws the
noise and the image order of the whole batch and takes its part; dropout and the random numbers of tricks are each
process's own.
"""

import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan.config.errors import ConfigError
from gan.system.rank import LOCAL_WORLD_SIZE, RANK, WORLD_SIZE

TIMEOUT = timedelta(minutes=30)  # one process may train the feature network while the others wait
T = TypeVar("T")


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Connect the processes that torchrun has started; a single process needs no group."""
    if WORLD_SIZE == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if LOCAL_WORLD_SIZE == WORLD_SIZE:
        use_loopback()
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    yield
    gc.collect()  # gloo may abort while any of its objects are alive
    dist.barrier()
    dist.destroy_process_group()


def use_loopback() -> None:
    """Let gloo connect the processes of one machine through its loopback interface.

    It would take the one that the host name stands for, which offline may be none.
    """
    loopback = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]  # Linux, macOS
    if loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])


def local_slice(batch_size: int) -> slice:
    """The part of a batch that this process trains on. Raises ConfigError where it cannot be divided equally."""
    if batch_size % WORLD_SIZE:
        raise ConfigError(f"train.batch_size={batch_size}: must be a multiple of the {WORLD_SIZE} processes.")
    size = batch_size // WORLD_SIZE
    return slice(RANK * size, (RANK + 1) * size)


@torch.no_grad()
def all_reduce_mean(tensors: list[Tensor]) -> None:
    """Replace each of `tensors` by its mean over the processes, in one message."""
    if WORLD_SIZE > 1:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= WORLD_SIZE
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def all_reduce_max(number: int, device: torch.device) -> int:
    """The maximum over the processes."""
    if WORLD_SIZE == 1:
        return number
    maximum = torch.tensor(number, device=device)
    dist.all_reduce(maximum, dist.ReduceOp.MAX)
    return int(maximum)


def from_rank_zero(function: Callable[[], T]) -> T:
    """What `function` returns in rank 0 (CPU tensors, numbers, text), in every process.

    A ConfigError that it raises is raised in every process.
    """
    if WORLD_SIZE == 1:
        return function()
    result: list[Any] = [None]
    if RANK == 0:
        try:
            result = [function()]
        except ConfigError as error:
            result = [error]
    dist.broadcast_object_list(result)
    if isinstance(result[0], ConfigError):
        raise result[0]
    return result[0]


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Run this block in rank 0 first; the other processes then find what it has put into a cache."""
    if WORLD_SIZE > 1 and RANK:
        dist.barrier()
    try:
        yield
    finally:  # after a ConfigError too, which the other processes will also raise
        if WORLD_SIZE > 1 and not RANK:
            dist.barrier()


class _AllReduceMean(torch.autograd.Function):
    """The mean of a tensor over the processes, differentiable any number of times."""

    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total / WORLD_SIZE

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _AllReduceMean.apply(gradient.contiguous())


class SyncBatchNorm(_BatchNorm):
    """Batch normalization over the whole batch, of which each process has an equal part.

    torch.nn.SyncBatchNorm needs GPUs.
    """

    momentum: float  # these are never None in the networks here
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Any number of dimensions, like BatchNorm1d and BatchNorm2d together."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        axes = [axis for axis in range(inputs.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(inputs.dim())]
        values = inputs.float()
        mean = _AllReduceMean.apply(values.mean(axes))
        centered = values - mean.view(shape)
        variance = _AllReduceMean.apply(centered.square().mean(axes))
        count = WORLD_SIZE * inputs.numel() // inputs.shape[1]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale.view(shape) + self.bias.view(shape)).to(inputs.dtype)


def sync_batch_norm(network: nn.Module) -> None:
    """Replace every BatchNorm in `network` by SyncBatchNorm where several processes train it."""
    if WORLD_SIZE == 1:
        return
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                synced = SyncBatchNorm(child.num_features, child.eps, child.momentum)
                synced.load_state_dict(child.state_dict())
                setattr(parent, name, synced)
