"""Batches of a dataset on the device."""

import torch

from gan.data.batches import Batches
from gan.data.datasets import ImageDataset


def test_each_image_of_a_batch_has_its_label():
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1)
    batches = Batches(ImageDataset(images, torch.arange(10) * 3), 4, seed=0, device=torch.device("cpu"))
    for index in range(5):
        assert torch.equal(batches[index].images.flatten() * 3, batches[index].labels.to(torch.uint8))


def mirrored(seed, mirror=True, local_slice=slice(None)):
    """Which images of 20 batches are mirrored, and their numbers."""
    images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1) * torch.tensor([1, 3], dtype=torch.uint8)
    dataset = ImageDataset(images, mirror=mirror)
    batches = Batches(dataset, 8, seed, torch.device("cpu"), local_slice)
    found = torch.stack([batches[index].images[:, 0, 0] for index in range(20)])
    return found[:, :, 0] > found[:, :, 1], found.amin(-1)


def test_half_of_the_images_are_mirrored_by_seed_and_batch_alone():
    is_mirrored, numbers = mirrored(seed=0)
    assert 0.4 < is_mirrored.float().mean() < 0.6
    assert torch.equal(is_mirrored, mirrored(seed=0)[0]) and not torch.equal(is_mirrored, mirrored(seed=1)[0])
    assert not torch.equal(is_mirrored[:5], is_mirrored[5:10])  # others in the next epoch
    plain = mirrored(seed=0, mirror=False)
    assert not plain[0].any() and torch.equal(plain[1], numbers)  # the same images in the same order
    for part in (slice(0, 4), slice(4, 8)):  # of two processes
        assert torch.equal(mirrored(seed=0, local_slice=part)[0], is_mirrored[:, part])
