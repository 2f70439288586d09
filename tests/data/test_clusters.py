"""Clusters of similar images."""

import pytest
import torch

from gan.data.clusters import cluster_images


def blobs(count: int, kinds: int, size: int, channels: int = 1) -> torch.Tensor:
    """Images (count, channels, size, size) of as many kinds, in turn: noise around a random image each."""
    random = torch.Generator().manual_seed(0)
    kind = torch.randint(0, 256, (kinds, channels, size, size), generator=random)
    noise = torch.randint(-8, 9, (count, channels, size, size), generator=random)
    return (kind[torch.arange(count) % kinds] + noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (48, 3)])
def test_images_of_one_kind_have_one_cluster(size, channels):
    labels = cluster_images(blobs(6000, 3, size, channels), 12)
    assert labels.dtype == torch.int64 and labels.shape == (6000,) and labels.min() >= 0 and labels.max() < 12
    for label in labels.unique():
        assert len((torch.arange(6000)[labels == label] % 3).unique()) == 1


def test_clusters_are_those_of_the_images_alone():
    images = blobs(500, 4, 8)
    torch.manual_seed(1)
    first = cluster_images(images, 8)
    torch.manual_seed(2)
    assert torch.equal(cluster_images(images, 8), first)


def test_repeated_images_may_leave_clusters_empty():
    labels = cluster_images(blobs(2, 2, 8).repeat(50, 1, 1, 1), 60)
    assert labels.max() < 60 and not set(labels[0::2].tolist()) & set(labels[1::2].tolist())


def test_there_may_be_as_many_clusters_as_images():
    assert len(cluster_images(blobs(10, 10, 8), 10).unique()) <= 10


@pytest.mark.parametrize("dims", [1, 2])
def test_points_have_clusters_too(dims):
    points = torch.tensor([-3.0, 0.0, 3.0])[torch.arange(300) % 3, None].repeat(1, dims) + 0.1 * torch.rand(300, dims)
    labels = cluster_images(points, 6)
    for label in labels.unique():
        assert len((torch.arange(300)[labels == label] % 3).unique()) == 1
