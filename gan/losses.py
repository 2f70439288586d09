"""What each player minimises, from logits (B,).

A loss has two methods. `discriminator(real, fake)` gives D's terms by name, as a rule one for real images
and one for fakes, and `total` adds them up or takes their mean. `generator(real, fake)` is what G minimises.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import Probability

Terms = dict[str, Tensor]
Target = Probability | tuple[Probability, Probability]
Score = float | tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What all losses share.

    Args:
        terms: whether D's loss is the `sum` of its terms or their `mean`. Adam hardly notices, SGD does.
    """

    generator_sees_real: ClassVar[bool] = False  # whether G's loss asks for the logits of real images
    needs_bounded_slope: ClassVar[bool] = False  # whether D's loss would fall for ever if nothing held D back
    undecided_at_zero: ClassVar[bool] = True  # whether a logit of 0 says that D cannot tell
    terms: Literal["sum", "mean"]

    def __post_init__(self) -> None:
        for name, target in vars(self).items():
            if isinstance(target, (list, tuple)) and target[0] > target[1]:
                raise ConfigError(f"loss.{name}={list(target)} is not possible: the lower end of a range comes first.")

    def total(self, terms: Terms) -> Tensor:
        """D's loss."""
        added = sum(terms.values())
        return added if self.terms == "sum" else added / len(terms)


@dataclass(frozen=True, kw_only=True)
class NonSaturating(Loss):
    """Goodfellow et al. 2014, section 3: D separates real from fake; G maximises log D(G(z)).

    At D = 1/2 everywhere D's loss is 2 log 2 = 1.386 and G's is log 2.

    Args:
        real_target: D's target for real images. 1 is the paper; 0.9 is one-sided label smoothing (Salimans
            et al. 2016, section 3.4); a pair is a range that each image's target is drawn from. G's own loss
            is never smoothed.
        fake_target: D's target for fakes, 0 in the paper.
    """

    real_target: Target
    fake_target: Target

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {
            "loss_real": cross_entropy(real, self.real_target),
            "loss_fake": cross_entropy(fake, self.fake_target),
        }

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()


@dataclass(frozen=True, kw_only=True)
class Minimax(NonSaturating):
    """Goodfellow et al. 2014, equation 1: one value that D maximises and G minimises.

    G's loss is log(1 - D(G(z))), which is negative, and flat where D is sure that a image is fake: G then
    hardly learns, which is why section 3 of the paper leaves it for the non-saturating one.
    """

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -F.softplus(fake).mean()


@dataclass(frozen=True, kw_only=True)
class NaiveLog(Loss):
    """The non-saturating loss written out on probabilities, without the care that logits allow.

    log(1 - D) is infinite in float32 from a logit of 17 on, where 1 - D rounds to 0. This shows how training
    ends then (the tutorial "Capstone-4 GAN 요약 및 코드 구현"); `nonsaturating` is the same function, computed well.

    Args:
        saturating: G minimises log(1 - D(G(z))), as in the minimax game, in place of -log D(G(z)).
    """

    saturating: bool

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {
            "loss_real": -torch.log(torch.sigmoid(real)).mean(),
            "loss_fake": -torch.log(1 - torch.sigmoid(fake)).mean(),
        }

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        probability = torch.sigmoid(fake)
        return torch.log(1 - probability).mean() if self.saturating else -torch.log(probability).mean()


@dataclass(frozen=True, kw_only=True)
class LeastSquares(Loss):
    """LSGAN (Mao et al. 2017, equation 2): each score is pulled to a number, so that even a sure D teaches G.

    With targets 1, 0 and 1, as here by default, D costs at least 0, and 1/4 where it says 1/2 of everything.

    Args:
        real_target: the paper's b. A pair is a range that each image's target is drawn from.
        fake_target: the paper's a.
        generator_target: the paper's c, what G wants D to say of its fakes.
    """

    undecided_at_zero: ClassVar[bool] = False  # it is half way between the targets
    real_target: Score
    fake_target: Score
    generator_target: float

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {
            "loss_real": (real - targets(real, self.real_target)).square().mean() / 2,
            "loss_fake": (fake - targets(fake, self.fake_target)).square().mean() / 2,
        }

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return (fake - self.generator_target).square().mean() / 2


@dataclass(frozen=True, kw_only=True)
class Hinge(Loss):
    """The hinge loss (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17).

    D wants real images above 1 and fakes below -1, and no further: what is beyond costs nothing. An undecided D
    costs 2. G's loss is minus the mean score and knows no bound.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {"loss_real": F.relu(1 - real).mean(), "loss_fake": F.relu(1 + fake).mean()}

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True, kw_only=True)
class Wasserstein(Loss):
    """The Wasserstein GAN (Arjovsky et al. 2017, equations 2 and 3): how far apart the mean scores are.

    Minus D's loss estimates the distance between real and fake images, up to a factor, as long as something keeps
    D's slope bounded; without that it falls for ever.
    """

    needs_bounded_slope: ClassVar[bool] = True
    undecided_at_zero: ClassVar[bool] = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {"loss_real": -real.mean(), "loss_fake": fake.mean()}

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True, kw_only=True)
class Relativistic(Loss):
    """RpGAN (Jolicoeur-Martineau 2019, section 4): a real image need only look more real than a fake beside it.

    Images are compared in pairs, in the order they come. D's one term is log 2 where it sees no difference, and so
    is G's loss. No fake can be satisfied by joining others at one mode, as it is held against the real ones
    (Huang et al. 2024, section 2).
    """

    generator_sees_real: ClassVar[bool] = True
    undecided_at_zero: ClassVar[bool] = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {"loss_pairs": F.softplus(fake - real).mean()}

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return F.softplus(real - fake).mean()


def cross_entropy(logits: Tensor, target: Score) -> Tensor:
    """Mean binary cross-entropy of sigmoid(logits) against `target`."""
    return F.binary_cross_entropy_with_logits(logits, targets(logits, target))


def targets(logits: Tensor, target: Score) -> Tensor:
    """The same target for each of the `logits`, or one drawn for each from a range."""
    if isinstance(target, (int, float)):
        return torch.full_like(logits, target)
    return torch.empty_like(logits).uniform_(*target)
