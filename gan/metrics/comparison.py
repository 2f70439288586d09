"""Generated images or points and real ones, as features, classes and pixels: what metrics are computed from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gan.data.datasets import Modes
from gan.metrics import formulas, points
from gan.metrics.catalogue import INCEPTION, POINTS, Input

MAX_PARZEN_PIXELS = 3 * 32 * 32  # per image; larger images would take minutes
MAX_ASSIGNED_POINTS = 1000  # for the Wasserstein distance: about a second, and 2,000 take up to ten
MAX_KEPT_IMAGES = 10_000  # for metrics that compare image by image; FID and the classes use all images


class FeatureStats:
    """Feature moments and class counts of all images, and features, logits and pixels of the first 10,000.

    `images` is empty where an image has more than MAX_PARZEN_PIXELS.

    Args:
        network: from images uint8 (B, C, H, W) to features (B, d) and logits (B, K); K may be 0.
    """

    def __init__(
        self, network: Callable[[Tensor], tuple[Tensor, Tensor]], batches: Iterable[Tensor], device: torch.device
    ) -> None:
        self.count, kept = 0, 0
        all_features, all_logits, all_images = [], [], []
        for batch in batches:
            with torch.no_grad():
                features, logits = (output.cpu() for output in network(batch.to(device)))
            if self.count == 0:
                self.feature_sum = torch.zeros(features.shape[1], dtype=torch.float64)
                self.product_sum = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
                self.class_counts = torch.zeros(logits.shape[1], dtype=torch.int64)
            doubles = features.double()
            self.feature_sum += doubles.sum(0)
            self.product_sum += doubles.T @ doubles
            if logits.shape[1]:
                self.class_counts += logits.argmax(1).bincount(minlength=logits.shape[1])
            self.count += len(batch)
            if (room := MAX_KEPT_IMAGES - kept) > 0:
                all_features.append(features[:room])
                all_logits.append(logits[:room])
                all_images.append(batch[: room if batch[0].numel() <= MAX_PARZEN_PIXELS else 0].cpu())
                kept += len(all_features[-1])
        self.features, self.logits, self.images = map(torch.cat, (all_features, all_logits, all_images))

    @cached_property
    def usual_similarity(self) -> Tensor:
        """See formulas: what an image needs to count as similar to one of these."""
        return formulas.usual_similarity(self.images)

    @property
    def mean(self) -> Tensor:
        """Of the features, float64 (d,)."""
        return self.feature_sum / self.count

    @property
    def covariance(self) -> Tensor:
        """Of the features, float64 (d, d), unbiased."""
        centered = self.product_sum - self.count * torch.outer(self.mean, self.mean)
        return centered / max(self.count - 1, 1)


@dataclass(frozen=True)
class Comparison:
    """Generated images against real ones. What several metrics share is computed once.

    Args:
        features: the dataset whose classifier the features are from, or the column of another network.
        parzen_images: validation and test images uint8 (n, C, H, W); None to leave out the Parzen estimate.
        discriminator_gap: of the run, where its discriminator is known.
        modes: of the distribution that real points are from, where it has any.
    """

    features: str
    generated: FeatureStats
    real: FeatureStats
    parzen_images: tuple[Tensor, Tensor] | None = None
    discriminator_gap: float | None = None
    modes: Modes | None = None

    @property
    def inputs(self) -> set[Input]:
        """Those that it has, of the inputs that some metrics need."""
        inputs: set[Input] = {"points" if self.features == POINTS else "features"}
        if self.generated.logits.shape[1]:
            inputs.add("inception" if self.features == INCEPTION else "classes")
        if "classes" in inputs and len(self.generated.images) and len(self.real.images):
            inputs.add("images")
        if self.parzen_images is not None:
            inputs.add("pixels")
        if self.discriminator_gap is not None:
            inputs.add("discriminator")
        if self.modes is not None:
            inputs.add("modes")
        return inputs

    @cached_property
    def kept_features(self) -> tuple[Tensor, Tensor]:
        """Of generated and of real images, equally many (n, d)."""
        count = min(len(self.generated.features), len(self.real.features))
        return self.generated.features[:count], self.real.features[:count]

    @cached_property
    def precision_and_recall(self) -> tuple[float, float]:
        from torch_fidelity.metric_prc import prc_features_to_metric  # takes long to import, and training needs none

        result = prc_features_to_metric(*self.kept_features, save_cpu_ram=True, prc_batch_size=1000, verbose=False)
        return result["precision"], result["recall"]

    @cached_property
    def density_and_coverage(self) -> tuple[float, float]:
        return formulas.density_and_coverage(*self.kept_features)

    @cached_property
    def class_fractions(self) -> Tensor:
        """Fraction of the generated images that the classifier assigns to each class, float64 (K,)."""
        return self.generated.class_counts.double() / self.generated.count

    @cached_property
    def similar_fractions(self) -> Tensor:
        """For each class the fraction of generated images that are similar in pixels to a real image of it, (K,)."""
        similarity, indices = formulas.most_similar(self.generated.images, self.real.images)
        classes = self.real.logits.argmax(dim=1)[indices[similarity >= self.real.usual_similarity]]
        return classes.bincount(minlength=self.real.logits.shape[1]).double() / len(similarity)

    @property
    def assigned_points(self) -> tuple[Tensor, Tensor]:
        """Generated and real points, equally many (n, d), for the Wasserstein distance."""
        generated, real = self.kept_features
        return generated[:MAX_ASSIGNED_POINTS], real[:MAX_ASSIGNED_POINTS]

    @cached_property
    def generated_modes(self) -> points.ModeCounts:
        """Of the generated points."""
        assert self.modes is not None
        return points.count_modes(self.generated.features, self.modes)

    @cached_property
    def parzen(self) -> formulas.ParzenEstimate:
        assert self.parzen_images is not None
        return formulas.parzen(self.generated.images, *self.parzen_images)
