"""Batches of a dataset, taken from it by index."""

import torch
from torch import Tensor

from gan.data.datasets import ImageDataset
from gan.system.randomness import random_generator


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
            self.epoch = epoch
        start = position * self.batch_size
        indices = self.order[start : start + self.batch_size][self.local_slice]
        located = [indices] if self.is_on_device else self.gather(indices)
        if self.mirror:
            generator = random_generator("cpu", self.seed, "mirror", index)
            located.append(torch.rand(self.batch_size, generator=generator)[self.local_slice] < 0.5)
        return [tensor.to(self.device, non_blocking=True) for tensor in located]

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
