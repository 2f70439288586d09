"""Batches of a dataset on the device."""

import torch

from gan.data.datasets import Batches, ImageDataset


def test_each_image_of_a_batch_has_its_label():
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    batches = Batches(ImageDataset(images, torch.arange(10) * 3), 4, seed=0, device=torch.device("cpu"))
    for index in range(5):
        assert torch.equal(batches[index].images.flatten() * 3, batches[index].labels.to(torch.uint8))
