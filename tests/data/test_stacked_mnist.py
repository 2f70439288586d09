"""Stacked MNIST: a digit in each channel."""

import torch

from gan.data import datasets


def test_stacked_digits_are_digits_in_each_channel(monkeypatch, tmp_path):
    images = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(-1, -1, 28, 28)
    monkeypatch.setattr(datasets, "load_published", lambda *_: (images, torch.arange(10), ()))
    train = datasets.stacked_mnist(tmp_path, tmp_path, "train", count=500, limit=400, image_size=None)
    assert train.images.shape == (400, 3, 28, 28)
    digits = train.images[:, :, 0, 0].long()
    assert torch.equal(digits @ torch.tensor([100, 10, 1]), train.labels)
    test = datasets.stacked_mnist(tmp_path, tmp_path, "test", count=500, limit=None, image_size=None)
    assert len(test) == 10_000 and not torch.equal(test.labels[:400], train.labels)
    assert (
        train.shape.class_count == test.shape.class_count == train[:3].shape.class_count == 1000
    )  # of however few images
    again = datasets.stacked_mnist(tmp_path, tmp_path, "train", count=500, limit=400, image_size=None)
    assert torch.equal(again.images, train.images)
