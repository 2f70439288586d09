"""Feature matching: another loss for the generator."""

from typing import ClassVar

from torch import Tensor

from gan.config.types import NonNegativeFloat, PositiveFloat
from gan.tricks.base import FeaturesFunction, Trick


class FeatureMatching(Trick):
    """G matches the mean of D's features of real images (Salimans et al. 2016, section 3.1).

    The features are the inputs of D's last layer.

    Args:
        weight: of the squared distance between the means.
        adversarial_weight: of G's own loss, which is added; 0 in the paper.
    """

    needs_whole_batch: ClassVar[bool] = True
    uses_features: ClassVar[bool] = True

    def __init__(self, *, weight: PositiveFloat = 1.0, adversarial_weight: NonNegativeFloat = 0.0) -> None:
        self.weight, self.adversarial_weight = weight, adversarial_weight

    def generator_loss(self, loss: Tensor, features: FeaturesFunction, real: Tensor, fake: Tensor) -> Tensor:
        distance = (features(real).mean(dim=0) - features(fake).mean(dim=0)).square().sum()
        if not self.adversarial_weight:  # so that a loss that is not finite stays out
            return self.weight * distance
        return self.adversarial_weight * loss + self.weight * distance
