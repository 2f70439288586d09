"""InfoGAN: codes that D can read off the images."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import NonNegativeInt, PositiveFloat
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.player import Players
from gan.tricks.base import Batch, Pair, Trick, TrickContext

HEAD, HIDDEN = "codes", 128  # Q in the paper, which shares D's features, and its hidden units (appendix C.1)


class Codes(NamedTuple):
    """How many categories the categorical code has (0: there is no such code), and how many continuous codes follow.

    The codes are the first components of the noise: the index of the greatest of so many is the category.
    """

    categories: int
    continuous: int

    def category(self, noise: Tensor) -> Tensor:
        """The category (B,) of each noise vector."""
        return noise[:, : self.categories].argmax(dim=1)

    def values(self, noise: Tensor) -> Tensor:
        """The continuous codes (B, continuous) of each noise vector."""
        return noise[:, self.categories : self.categories + self.continuous]


class InfoGAN(Trick):
    """G's noise has a categorical and some continuous codes, and D learns to tell them from the image, for which G is
    rewarded: a bound of the mutual information of code and image (Chen et al. 2016, section 5).

    Each category is as likely as the others. The continuous codes have the distribution of the noise.

    Args:
        categories: of the categorical code, 0 for none.
        continuous: codes, each one component of the noise.
        weight: lambda in the paper.
    """

    uses_features: ClassVar[bool] = True
    uses_noise: ClassVar[bool] = True

    def __init__(
        self, *, categories: NonNegativeInt = 10, continuous: NonNegativeInt = 2, weight: PositiveFloat = 1.0
    ) -> None:
        self.codes, self.weight = Codes(categories, continuous), weight

    def check(self, context: TrickContext) -> None:
        assert context.generator.noise is not None
        (categories, continuous), noise_dim = self.codes, context.generator.noise.dim
        if categories == 1 or not categories + continuous:
            raise ConfigError(
                f"trick.infogan.categories={categories}: must be >= 2, or 0 beside trick.infogan.continuous >= 1."
            )
        if categories + continuous > noise_dim:
            raise ConfigError(
                f"noise.dim={noise_dim}: must be >= {categories + continuous} for the codes of trick=infogan."
            )
        if context.train.reuse_fakes:
            raise ConfigError(
                "trick=infogan does not go with train.reuse_fakes=true: the codes of an update would not be those of "
                "its fake images."
            )

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        generator.codes = self.codes
        generator.register_forward_pre_hook(with_one_hot_category(self.codes))
        outputs = self.codes.categories + self.codes.continuous
        discriminator.heads[HEAD] = nn.Sequential(
            nn.Linear(discriminator.feature_count, HIDDEN), nn.LeakyReLU(0.1), nn.Linear(HIDDEN, outputs)
        )

    def discriminator_terms(self, players: Players, batch: Batch, inputs: Pair, logits: Pair) -> dict[str, Tensor]:
        return self.generator_terms(players, batch, inputs[1])

    def generator_terms(self, players: Players, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        return {HEAD: self.weight * self.error(players.discriminator.predict(HEAD, fake), batch.noise)}

    def error(self, predicted: Tensor, noise: Tensor) -> Tensor:
        """Minus the bound of equation 5 up to a constant: -log Q(code | image), from the outputs of Q.

        Cross-entropy for the category, and a normal distribution of variance 1 for each continuous code.
        """
        scores, means = predicted.split([self.codes.categories, self.codes.continuous], dim=1)
        total = (self.codes.values(noise) - means).square().sum(dim=1).mean() / 2
        return total + F.cross_entropy(scores, self.codes.category(noise)) if self.codes.categories else total


def with_one_hot_category(codes: Codes) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    """A hook of G, after which it sees of the categorical code only which it is, with variance 1 as of other noise."""

    def encode(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        noise, *labels = inputs
        if codes.categories:
            zeros, category = torch.zeros_like(noise[:, : codes.categories]), codes.category(noise)[:, None]
            one_hot = zeros.scatter(1, category, codes.categories**0.5)
            noise = torch.cat([one_hot, noise[:, codes.categories :]], dim=1)
        return noise, *labels

    return encode
