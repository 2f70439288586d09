"""Formulas of metrics that torch-fidelity does not have."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

NEIGHBORS = 5  # of density and coverage (Naeem et al. 2020); precision and recall use 3


def density_and_coverage(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, section 3) of features (n, d) against real ones (m, d).

    The ball of a real image reaches to its 5th nearest real neighbor. Density is the mean number of balls that a
    generated image lies in, divided by 5; coverage the fraction of balls that hold a generated image.
    """
    neighbors = min(NEIGHBORS, len(real) - 1)
    inside_count, covered_count = 0, 0
    for centers in real.split(1000):
        radius = torch.cdist(centers, real).kthvalue(neighbors + 1, dim=1).values  # the nearest is the center itself
        inside = torch.cdist(centers, generated) < radius[:, None]
        inside_count += int(inside.sum())
        covered_count += int(inside.any(dim=1).sum())
    return inside_count / (neighbors * len(generated)), covered_count / len(real)


class ParzenEstimate(NamedTuple):
    """Log-likelihood in nats with its standard error, and the standard deviation of the Gaussians."""

    mean: float
    error: float
    width: float


def parzen(centers: Tensor, validation: Tensor, test: Tensor) -> ParzenEstimate:
    """Parzen window estimate of the log-likelihood of `test` (Goodfellow et al. 2014, section 5).

    Images are uint8 (n, C, H, W), scaled to [0, 1]. There is a Gaussian at each of `centers`. Its width is the best of
    ten, spaced logarithmically from 0.1 to 1, for the first 1,000 of `validation`.
    """
    centers, validation, test = (images.flatten(1).double() / 255 for images in (centers, validation, test))
    widths = torch.logspace(-1, 0, 10, dtype=torch.float64)
    width = widths[log_likelihoods(centers, validation[:1000], widths).mean(dim=0).argmax()]
    likelihoods = log_likelihoods(centers, test, width[None])[:, 0]
    error = likelihoods.std() / math.sqrt(len(likelihoods))
    return ParzenEstimate(likelihoods.mean().item(), error.item(), width.item())


def log_likelihoods(centers: Tensor, points: Tensor, widths: Tensor) -> Tensor:
    """Of `points` (n, d) under Gaussians at `centers` (m, d), for each of `widths` (w,). Returns (n, w)."""
    dim, parts = centers.shape[1], []
    for part in points.split(250):
        squared = torch.cdist(part, centers).square()
        parts.append(torch.stack([(-squared / (2 * width**2)).logsumexp(dim=1) for width in widths], dim=1))
    return torch.cat(parts) - math.log(len(centers)) - dim / 2 * torch.log(2 * math.pi * widths.square())


def nearest_neighbors(generated: Tensor, real: Tensor) -> Tensor:
    """Index (n,) of the image among `real` uint8 (m, C, H, W) whose pixels are nearest to each of `generated`."""
    points = generated.flatten(1).float()
    block_size = 2**24 // points.shape[1]  # images that fill 64 MB
    nearest = [torch.cdist(points, block.flatten(1).float()).min(dim=1) for block in real.split(block_size)]
    distances, indices = torch.stack([each.values for each in nearest]), torch.stack([each.indices for each in nearest])
    block = distances.argmin(dim=0)
    return indices.gather(0, block[None])[0] + block * block_size


def most_similar(generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """For each of `generated` uint8 (n, C, H, W) its greatest correlation with one of `real`, and that one's index.

    Correlation, from -1 to 1, is of pixels averaged over 2x2, which speckle changes little; 0 for a constant image.
    """
    points, others = pooled_pixels(generated), pooled_pixels(real).T
    similar = [(part @ others).max(dim=1) for part in points.split(1000)]
    return torch.cat([each.values for each in similar]), torch.cat([each.indices for each in similar])


def usual_similarity(real: Tensor) -> Tensor:
    """The correlation that nine in ten of `real` uint8 (n, C, H, W) have with the most similar other one."""
    points, start, found = pooled_pixels(real), 0, []
    for part in points.split(1000):
        correlations = part @ points.T
        correlations[torch.arange(len(part)), torch.arange(start, start + len(part))] = -1  # with itself
        found.append(correlations.amax(dim=1))
        start += len(part)
    return torch.cat(found).quantile(0.1)


def pooled_pixels(images: Tensor) -> Tensor:
    """Pixels of uint8 (n, C, H, W) averaged over 2x2, float (n, d), of mean 0 and length 1: products correlate them."""
    pixels = F.avg_pool2d(images.float(), 2).flatten(1)
    return F.normalize(pixels - pixels.mean(dim=1, keepdim=True))
