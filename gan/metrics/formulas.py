"""How good generated images are, in numbers. What each means, and what fools it, stands in docs/scores.md.

Images are uint8 (n, C, H, W). FID, KID, precision and recall are torch-fidelity's functions on our features.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

Network = Callable[[Tensor], tuple[Tensor, Tensor]]  # images to features (n, d) and logits (n, classes)

PARZEN_PIXELS = 3 * 32 * 32  # a image of more numbers than this is not given a Parzen score: it takes minutes
KEPT = 10_000  # images that are kept for the scores that compare one by one; FID and classes take all
NEIGHBOURS = 5  # of density and coverage, as in Naeem et al. 2020; precision and recall take 3, as published


class FeatureStats:
    """What is kept of images, however many they are: the moments of their features, their classes, the first few.

    `images` are those of the first few, or none where they are too large for Parzen's score.

    Raises ValueError where there is not one image.
    """

    def __init__(self, network: Network, batches: Iterable[Tensor], device: torch.device) -> None:
        self.count, kept = 0, 0
        features, logits, images = [], [], []
        for batch in batches:
            with torch.no_grad():
                found, said = (each.cpu() for each in network(batch.to(device)))
            if self.count == 0:
                self.total = torch.zeros(found.shape[1], dtype=torch.float64)
                self.products = torch.zeros(found.shape[1], found.shape[1], dtype=torch.float64)
                self.classes = torch.zeros(said.shape[1], dtype=torch.int64)
            exact = found.double()
            self.total += exact.sum(0)
            self.products += exact.T @ exact
            self.classes += said.argmax(1).bincount(minlength=said.shape[1])
            self.count += len(batch)
            if (room := KEPT - kept) > 0:
                features.append(found[:room])
                logits.append(said[:room])
                images.append(batch[: room if batch[0].numel() <= PARZEN_PIXELS else 0].cpu())
                kept += len(features[-1])
        self.features, self.logits, self.images = torch.cat(features), torch.cat(logits), torch.cat(images)

    @property
    def mean(self) -> Tensor:
        """Of the features (d,)."""
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        """Of the features (d, d), unbiased."""
        centred = self.products - self.count * torch.outer(self.mean, self.mean)
        return centred / max(self.count - 1, 1)


def compare(fake: FeatureStats, real: FeatureStats) -> dict[str, float]:
    """All that two sets of images and their features say, by name."""
    few = min(len(fake.features), len(real.features))
    subset = min(few, 1000)
    kid = kid_features_to_metric(fake.features, real.features, kid_subset_size=subset, verbose=False)
    one_by_one = fake.features[:few], real.features[:few]
    near = prc_features_to_metric(*one_by_one, save_cpu_ram=True, prc_batch_size=1000, verbose=False)
    density, coverage = density_and_coverage(*one_by_one)
    return {
        "fid": frechet_distance(fake, real),
        "kid": kid["kernel_inception_distance_mean"],
        "precision": near["precision"],
        "recall": near["recall"],
        "density": density,
        "coverage": coverage,
        "inception_score": isc_features_to_metric(fake.logits)["inception_score_mean"],
    }


def frechet_distance(fake: FeatureStats, real: FeatureStats) -> float:
    """The Fréchet distance between the two clouds of features, each taken for a normal one (Heusel et al. 2017)."""
    moments = ({"mu": each.mean.numpy(), "sigma": each.covariance.numpy()} for each in (fake, real))
    return fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]


def density_and_coverage(fake: Tensor, real: Tensor) -> tuple[float, float]:
    """How many real balls a fake lies in, and how many of them hold a fake (Naeem et al. 2020, section 3).

    A ball reaches from a real image to its 5th neighbour among the real ones. Density is scaled so that real
    images have about 1.
    """
    neighbours = min(NEIGHBOURS, len(real) - 1)
    inside, covered = 0, 0
    for part in real.split(1000):
        radius = torch.cdist(part, real).kthvalue(neighbours + 1, dim=1).values  # itself is the first
        within = torch.cdist(part, fake) < radius[:, None]
        inside += within.sum().item()
        covered += within.any(dim=1).sum().item()
    return inside / (neighbours * len(fake)), covered / len(real)


def class_balance(classes: Tensor) -> dict[str, float]:
    """From how many images each class has (K,): the classes that are there, and how far from all alike.

    `modes_in_100` is how many classes to expect among a hundred of such images: the sum of 1 - (1 - p)^100.
    `class_distance` is the total variation distance from uniform: the share of images that would have to change
    class. `kl` is the Kullback-Leibler divergence from uniform, in nats, as papers on stacked MNIST report it.
    """
    share = classes.double() / classes.sum()
    present = share[share > 0]
    return {
        "modes": float(len(present)),
        "modes_in_100": (1 - (1 - present) ** 100).sum().item(),
        "class_distance": (share - 1 / len(share)).abs().sum().item() / 2,
        "kl": (present * (present * len(share)).log()).sum().item(),
    }


def parzen(centres: Tensor, validation: Tensor, test: Tensor) -> dict[str, float]:
    """Log-likelihood of `test` under a Gaussian at each centre, as Goodfellow et al. 2014, section 5, estimate it.

    Its width is the one of ten, from 0.1 to 1 evenly in logarithm, that is best for the first 1,000 of `validation`.
    Images are uint8 (n, C, H, W), read as numbers from 0 to 1. Returns the mean over `test` in nats, its standard
    error, and the width.
    """
    centres, validation, test = (images.flatten(1).double() / 255 for images in (centres, validation, test))
    widths = torch.logspace(-1, 0, 10, dtype=torch.float64)
    on_validation = log_likelihoods(centres, validation[:1000], widths).mean(dim=0)
    best = widths[on_validation.argmax()]
    found = log_likelihoods(centres, test, best[None])[:, 0]
    error = found.std() / math.sqrt(len(found))
    return {"parzen": found.mean().item(), "parzen_error": error.item(), "parzen_width": best.item()}


def log_likelihoods(centres: Tensor, points: Tensor, widths: Tensor) -> Tensor:
    """Of each point (n,) for each width (w,). Returns (n, w)."""
    dims, parts = centres.shape[1], []
    for part in points.split(250):
        squared = torch.cdist(part, centres).square()
        parts.append(torch.stack([(-squared / (2 * width**2)).logsumexp(dim=1) for width in widths], dim=1))
    return torch.cat(parts) - math.log(len(centres)) - dims / 2 * torch.log(2 * math.pi * widths.square())


def nearest_neighbors(fake: Tensor, real: Tensor) -> Tensor:
    """For each of `fake` uint8 (n, C, H, W), which of `real` (m, C, H, W) has the nearest pixels. Returns (n,)."""
    points = fake.flatten(1).float()
    size = 2**24 // points.shape[1]  # images that fill 64 MB
    found = [torch.cdist(points, part.flatten(1).float()).min(dim=1) for part in real.split(size)]
    distances, places = torch.stack([each.values for each in found]), torch.stack([each.indices for each in found])
    part = distances.argmin(dim=0)
    return places.gather(0, part[None])[0] + part * size
