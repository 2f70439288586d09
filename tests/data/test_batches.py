"""Batches of a dataset on the device."""

import ctypes
import mmap
from types import SimpleNamespace

import pytest
import torch

from gan.data import batches as module
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


@pytest.fixture
def asked_for(monkeypatch):
    """What the system is told that will be read: start address and length of each part, as whole pages."""
    asked = []

    def madvise(start, length, advice):
        assert (start.value % mmap.PAGESIZE, advice) == (0, mmap.MADV_WILLNEED)
        asked.append((start.value, start.value + length.value))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(madvise=madvise))
    return asked


@pytest.mark.parametrize("local_slice", [slice(None), slice(0, 2), slice(2, 4)])
def test_images_of_a_large_set_are_asked_for_once_and_before_they_are_needed(monkeypatch, asked_for, local_slice):
    monkeypatch.setattr(module, "LARGE_BYTES", 0)
    images = torch.arange(42, dtype=torch.uint8).view(42, 1, 1, 1).expand(42, 1, 80, 80).contiguous()
    batches = Batches(ImageDataset(images), 4, 0, torch.device("cpu"), local_slice)
    size, used = images.stride(0), 0
    for index in range(3, 25):  # from a resumed step to the third epoch
        batch = batches[index].images
        used += len(batch)
        starts = [images.data_ptr() + size * int(image[0, 0, 0]) for image in batch]
        assert all(any(low <= start and start + size <= high for low, high in asked_for) for start in starts)
        ahead = min(module.AHEAD, 9 - index % 10)  # batches of this epoch that are left
        assert len(asked_for) == used + ahead * len(batch)


def test_nothing_is_asked_for_where_the_set_is_small(asked_for):
    images = torch.zeros(40, 1, 80, 80, dtype=torch.uint8)
    assert len(Batches(ImageDataset(images), 4, 0, torch.device("cpu"))[0]) == 4
    assert not asked_for


def test_asking_for_images_changes_none_of_them(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(bytes(range(256)) * 300)
    images = torch.from_file(str(path), size=76800, dtype=torch.uint8).view(100, 3, 16, 16)
    before = images.clone()
    module.will_need(images, torch.arange(100))
    assert torch.equal(images, before)
