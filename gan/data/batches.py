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
        self.images = dataset.images.to(device) if fits_in_memory(dataset.images, device) else dataset.images
        self.labels = None if dataset.labels is None else dataset.labels.to(self.images.device)
        self.mirror = dataset.mirror
        self.per_epoch = len(dataset) // batch_size
        self.epoch = -1
        self.order = torch.empty(0)

    def __getitem__(self, index: int) -> ImageDataset:
        """Batch `index`, counted from the start of training, on the training device."""
        epoch, position = divmod(index, self.per_epoch)
        if epoch != self.epoch:
            generator = random_generator("cpu", self.seed, "order", epoch)
            self.order = torch.randperm(len(self.images), generator=generator).to(self.images.device)
            self.epoch = epoch
        start = position * self.batch_size
        indices = self.order[start : start + self.batch_size][self.local_slice]
        images = self.images.index_select(0, indices).to(self.device, non_blocking=True)
        if self.mirror:
            generator = random_generator("cpu", self.seed, "mirror", index)
            is_mirrored = torch.rand(self.batch_size, generator=generator)[self.local_slice].to(self.device) < 0.5
            images = torch.where(is_mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
        labels = None if self.labels is None else self.labels[indices].to(self.device, non_blocking=True)
        return ImageDataset(images, labels)


def fits_in_memory(images: Tensor, device: torch.device) -> bool:
    """Whether the whole dataset may be kept on `device`: on a GPU it may take half of the free memory."""
    return device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] // 2
