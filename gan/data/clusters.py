"""Clusters of similar images: classes for a dataset that has none."""

import warnings

import numpy as np
import torch
from scipy.cluster.vq import kmeans2, vq
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

FITTED_IMAGES = 10_000  # that the clusters are found with
MAX_SIZE = 32  # pixels of a side that are compared; larger images are averaged down to it
COMPONENTS = 32
ITERATIONS = 12


def cluster_images(images: Tensor, count: int) -> Tensor:
    """Clusters int64 (N,), from 0 to `count` - 1, of images uint8 (N, C, H, W) or points. Some may have none.

    k-means of the pixels' first 32 principal components. Components and centers are those of 10,000 random images,
    always the same. There must be at least `count` images.
    """
    random = np.random.default_rng(0)
    fitted = read_pixels(images[torch.from_numpy(random.permutation(len(images))[:FITTED_IMAGES])])
    mean = fitted.mean(0)
    components = np.linalg.eigh(np.atleast_2d(np.cov(fitted, rowvar=False)))[1][:, -COMPONENTS:].astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a cluster is empty, as where images are repeated
        centers, _ = kmeans2((fitted - mean) @ components, count, iter=ITERATIONS, minit="points", rng=random)
    nearest = [vq((read_pixels(part) - mean) @ components, centers)[0] for part in images.split(4096)]
    return torch.from_numpy(np.concatenate(nearest)).long()


def read_pixels(images: Tensor) -> np.ndarray:
    """Pixels float32 (N, d) of images uint8 (N, C, H, W), averaged down to 32x32 where they are larger.

    Points (N, d) are as they are.
    """
    pixels = images.float()
    if images.dim() > 2 and images.shape[2] > MAX_SIZE:
        pixels = adaptive_avg_pool2d(pixels, MAX_SIZE)
    return pixels.flatten(1).numpy()
