"""Batches of a dataset, taken from it by index."""

import contextlib
import ctypes
import mmap

import torch
from torch import Tensor

from gan.data.datasets import ImageDataset
from gan.system.randomness import random_generator

LARGE_BYTES = 2**28  # images of less are not read from the disk again
AHEAD = 8  # batches that are read from the disk before they are needed


class Batches:
    """An endless sequence of full batches, whose order depends on (seed, epoch) alone.

    Each epoch shows every image at most once; the last images, which do not fill a batch, are left out. Which
    images are mirrored, if any are, depends on (seed, index of the batch).

    Args:
        local_slice: the part of each batch that this process trains on.
    """

    def __init__(
        self, dataset: ImageDataset, batch_size: int, seed: int, device: torch.device, local_slice: slice = slice(None)
    ) -> None:
        self.batch_size, self.seed, self.device, self.local_slice = batch_size, seed, device, local_slice
        self.is_on_device = fits_in_memory(dataset.images, device)
        self.images = dataset.images.to(device) if self.is_on_device else dataset.images
        self.labels = None if dataset.labels is None else dataset.labels.to(self.images.device)
        self.mirror = dataset.mirror
        self.per_epoch = len(dataset) // batch_size
        self.epoch = -1
        self.order = torch.empty(0)
        self.is_read_ahead = self.images.device.type == "cpu" and self.images.nbytes >= LARGE_BYTES
        self.ahead = 0  # batches of this epoch that are being read, or have been

    def __getitem__(self, index: int) -> ImageDataset:
        """Batch `index`, counted from the start of training, on the training device."""
        return self.read(*self.locate(index))

    def locate(self, index: int) -> list[Tensor]:
        """What `read` makes batch `index` of, on the training device. The host does not wait for a GPU.

        These are the indices of its images or, if the dataset is too large for the GPU, the images and labels
        themselves; and which of them are mirrored.
        """
        epoch, position = divmod(index, self.per_epoch)
        if epoch != self.epoch:
            generator = random_generator("cpu", self.seed, "order", epoch)
            order = torch.randperm(len(self.images), generator=generator)
            self.order = order.to(self.images.device, non_blocking=True)
            self.epoch, self.ahead = epoch, 0
        if self.is_read_ahead:
            self.read_ahead(position)
        start = position * self.batch_size
        indices = self.order[start : start + self.batch_size][self.local_slice]
        located = [indices] if self.is_on_device else self.gather(indices)
        if self.mirror:
            generator = random_generator("cpu", self.seed, "mirror", index)
            located.append(torch.rand(self.batch_size, generator=generator)[self.local_slice] < 0.5)
        return [tensor.to(self.device, non_blocking=True) for tensor in located]

    def read_ahead(self, position: int) -> None:
        """Let the system read the images of batch `position` of this epoch, and of those after it, while others train.

        Otherwise each image that is not in memory would be waited for, and 128 KB be read around it.
        """
        first, last = max(self.ahead, position), min(position + 1 + AHEAD, self.per_epoch)
        batches = self.order[first * self.batch_size : last * self.batch_size].view(-1, self.batch_size)
        will_need(self.images, batches[:, self.local_slice].flatten())
        self.ahead = last

    def gather(self, indices: Tensor) -> list[Tensor]:
        """The images at `indices`, and their labels if they have any."""
        return [tensor.index_select(0, indices) for tensor in (self.images, self.labels) if tensor is not None]

    def read(self, *located: Tensor) -> ImageDataset:
        """The batch that `locate` has found, with operations on the training device alone."""
        images, *labels = self.gather(located[0]) if self.is_on_device else located
        if self.mirror:
            images = torch.where(located[-1].view(-1, 1, 1, 1), images.flip(-1), images)
        return ImageDataset(images, labels[0] if self.labels is not None else None)


def fits_in_memory(images: Tensor, device: torch.device) -> bool:
    """Whether the whole dataset may be kept on `device`: on a GPU it may take half of the free memory."""
    return device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] // 2


def will_need(images: Tensor, indices: Tensor) -> None:
    """Tell the system that images (N, C, H, W) at `indices` will be read, in case they are memory-mapped.

    It does not wait for the disk, and does nothing on systems without madvise.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        madvise = ctypes.CDLL(None).madvise
        for address in (images.data_ptr() + images.stride(0) * indices).tolist():
            start = address // mmap.PAGESIZE * mmap.PAGESIZE
            end = address + images.stride(0)
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_WILLNEED)
