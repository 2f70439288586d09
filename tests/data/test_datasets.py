"""Batches, scaling and resizing, and the settings of the dataset functions."""

import numpy as np
import pytest
import torch
from PIL import Image

from gan.config.errors import ConfigError
from gan.data import datasets
from gan.data.batches import Batches
from gan.data.datasets import ImageDataset, scale_images
from gan.system import distributed

CPU = torch.device("cpu")


def numbered_images(count):
    """Images whose pixels are their index."""
    return ImageDataset(torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous())


def test_an_epoch_shows_every_image_once_and_the_next_epoch_has_another_order():
    batches = Batches(numbered_images(12), 4, seed=0, device=CPU)
    epochs = [torch.cat([batches[3 * epoch + i].images[:, 0, 0, 0] for i in range(3)]) for epoch in range(2)]
    assert all(sorted(order.tolist()) == list(range(12)) for order in epochs)
    assert not torch.equal(*epochs)


def test_a_batch_depends_on_the_seed_and_its_index_alone():
    batches, same_seed, other_seed = (Batches(numbered_images(50), 4, seed, CPU) for seed in (3, 3, 4))
    for index in range(20):
        batches[index]
    assert torch.equal(batches[17].images, same_seed[17].images)
    assert not torch.equal(batches[17].images, other_seed[17].images)


def test_the_incomplete_last_batch_is_left_out():
    batches = Batches(numbered_images(11), 4, seed=0, device=CPU)
    assert batches.per_epoch == 2
    assert all(len(batches[i]) == 4 for i in range(6))


def test_the_parts_of_a_batch_make_the_whole_batch(monkeypatch):
    whole = Batches(numbered_images(12), 4, 0, CPU)[5].images
    monkeypatch.setattr(distributed, "WORLD_SIZE", 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "RANK", rank)
        parts.append(Batches(numbered_images(12), 4, 0, CPU, distributed.local_slice(4))[5].images)
    assert torch.equal(torch.cat(parts), whole) and len(parts[0]) == 2


@pytest.mark.parametrize(("pixel_range", "expected"), [((-1.0, 1.0), [-1, 1, 0.2]), ((0.0, 1.0), [0, 1, 0.6])])
def test_images_are_scaled_to_the_generators_pixel_range(pixel_range, expected):
    pixels = torch.tensor([0, 255, 153], dtype=torch.uint8)
    assert scale_images(pixels, pixel_range).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("size", "new"), [(32, 64), (28, 64), (64, 32)])
def test_a_dataset_is_resized_as_pillow_does_with_its_bilinear_filter(size, new):
    images = torch.randint(256, (4, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    resized = ImageDataset(images).resize(new).images
    for image, ours in zip(images, resized, strict=True):
        pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((new, new), Image.Resampling.BILINEAR)
        assert torch.equal(ours.permute(1, 2, 0), torch.from_numpy(np.array(pillow)))


def test_a_dataset_can_be_resized_and_limited(cache):
    small = datasets.digits(cache, cache, "train", count=100, limit=7, image_size=16)
    assert small.images.shape == (7, 1, 16, 16) and len(small.labels) == 7
    full = datasets.digits(cache, cache, "train", count=100, limit=None, image_size=None)
    assert torch.equal(small.labels, full.labels[:7])


@pytest.mark.parametrize(
    ("split", "path", "test_path", "setting"),
    [
        ("train", "", None, "dataset.path"),
        ("test", "images", "", "dataset.test_path"),
        ("test", "images", None, "dataset.test_path"),
        ("test", "images", "nowhere", "dataset.test_path=.*nowhere"),
    ],
)
def test_an_image_folder_that_is_not_there_is_a_config_error_that_names_the_setting(
    tmp_path, split, path, test_path, setting
):
    (tmp_path / "images").mkdir()
    path, test_path = (name and str(tmp_path / name) for name in (path, test_path))
    with pytest.raises(ConfigError, match=setting):
        datasets.image_folder(
            tmp_path, tmp_path, split, path=path, test_path=test_path, channels=None, limit=None, image_size=None
        )


def test_only_images_that_torch_has_drawn_or_resized_depend_on_the_processor(tmp_path):
    images = datasets.ImageDataset(torch.zeros(4, 1, 16, 16, dtype=torch.uint8))
    assert not images.is_rounded and not images.resize(16).is_rounded and images.resize(8)[:2].is_rounded
    assert datasets.digits(tmp_path, tmp_path, "train", count=20, limit=None, image_size=None).is_rounded
