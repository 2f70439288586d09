"""The losses of both players, from logits (B,)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import DropoutRate, Probability

Terms = dict[str, Tensor]
Target = Probability | tuple[Probability, Probability]
Score = float | tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """Base class. A loss defines `discriminator` and `generator`.

    Args:
        terms: whether D's loss is the `sum` or the `mean` of its terms. It scales D's gradient, which SGD notices.
        label_flip_probability: for each pair of a real and a fake image, D's labels are swapped with this probability
            (ganhacks 6).
    """

    generator_sees_real: ClassVar[bool] = False  # whether G's loss needs the logits of real images
    zero_sum: ClassVar[bool] = False  # whether G's loss is minus D's, without its term on real images
    requires_lipschitz: ClassVar[bool] = False  # whether D's loss has no lower bound unless D is Lipschitz
    zero_is_undecided: ClassVar[bool] = True  # whether a positive logit means real, and a negative one fake
    sigmoid_is_probability: ClassVar[bool] = False  # whether D learns the log-odds that an image is real
    terms: Literal["sum", "mean"] = "sum"
    label_flip_probability: DropoutRate = 0.0

    def __post_init__(self) -> None:
        for name, target in vars(self).items():
            if isinstance(target, (list, tuple)) and target[0] > target[1]:
                raise ConfigError(f"loss.{name}={list(target)}: must be [low, high] with low <= high.")

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss (0-d) from the logits (B,) of real and of fake images, for a training loop of your own."""
        return self.total(self.discriminator(*self.flip_labels(real, fake)))

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        """Terms of D's loss by name, from the logits (B,) of real and of fake images."""

    @abstractmethod
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """G's loss, from the logits (B,) of fake images, and of real ones if `generator_sees_real`."""

    def flip_labels(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B,) that D's loss takes for real and for fake: swapping logits swaps their labels."""
        if not self.label_flip_probability:
            return real, fake
        flipped = torch.rand_like(real) < self.label_flip_probability
        return torch.where(flipped, fake, real), torch.where(flipped, real, fake)

    def total(self, terms: Terms) -> Tensor:
        """D's loss."""
        first, *others = terms.values()
        total = sum(others, start=first)
        return total if self.terms == "sum" else total / len(terms)


@dataclass(frozen=True, kw_only=True)
class NonSaturating(Loss):
    """Binary cross-entropy with the non-saturating generator loss (Goodfellow et al. 2014, section 3).

    At equilibrium (D = 1/2) the discriminator loss is 2 log 2 = 1.386 and the generator loss log 2.

    Args:
        real_target: target for real images in D's loss, or a range from which the target of each image is drawn.
            0.9 is one-sided label smoothing (Salimans et al. 2016, section 3.4). Never applied to G's loss.
        fake_target: the same for fake images.
    """

    sigmoid_is_probability: ClassVar[bool] = True
    real_target: Target = 1.0
    fake_target: Target = 0.0

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {
            "loss_real": cross_entropy(real, self.real_target),
            "loss_fake": cross_entropy(fake, self.fake_target),
        }

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()


@dataclass(frozen=True, kw_only=True)
class Minimax(NonSaturating):
    """The minimax loss: G minimizes log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1).

    It saturates: where D is sure that an image is fake, G gets almost no gradient (section 3).
    """

    zero_sum: ClassVar[bool] = True

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -F.softplus(fake).mean()


@dataclass(frozen=True, kw_only=True)
class BCEProbabilities(NonSaturating):
    """The non-saturating loss as a sigmoid and torch's BCELoss compute it, for set-ups that were published with them.

    Unlike in `nonsaturating`, each term is at most 100, and has no gradient at extreme logits: BCELoss takes log(0) for
    -100 and, in its gradient, p (1 - p) for no less than 1e-12. So D's gradient fades at real logits below -28, as does
    G's at fake ones, and D's is 0 at fake logits from 17 on, where the probability p rounds to 1 in float32.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {
            "loss_real": probability_cross_entropy(real, self.real_target),
            "loss_fake": probability_cross_entropy(fake, self.fake_target),
        }

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return probability_cross_entropy(fake, 1.0)


@dataclass(frozen=True, kw_only=True)
class NaiveLog(Loss):
    """The non-saturating loss, computed from probabilities, as the tutorial "Capstone-4 GAN 요약 및 코드 구현" does.

    It can become infinite or NaN: in float32, log(1 - D) is infinite from a logit of 17 on, where 1 - D rounds to 0.
    `nonsaturating` computes the same from logits, and `bce_probabilities` with a bound.

    Args:
        saturating: whether G minimizes log(1 - D(G(z))) in place of -log D(G(z)).
    """

    sigmoid_is_probability: ClassVar[bool] = True
    saturating: bool = False

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
    """LSGAN (Mao et al. 2017, equation 2). G gets a gradient even where D is sure.

    With the default targets, D's loss is 1/4 if it outputs 1/2 for all images.

    Args:
        real_target: b in the paper, or a range from which the target of each image is drawn.
        fake_target: a in the paper, or a range.
        generator_target: c in the paper.
    """

    zero_is_undecided: ClassVar[bool] = False  # the point halfway between the targets is
    real_target: Score = 1.0
    fake_target: Score = 0.0
    generator_target: float = 1.0

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

    Real logits above 1 and fake logits below -1 cost D nothing. D's loss is 2 where all logits are 0.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {"loss_real": F.relu(1 - real).mean(), "loss_fake": F.relu(1 + fake).mean()}

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True, kw_only=True)
class Wasserstein(Loss):
    """The Wasserstein GAN loss (Arjovsky et al. 2017, equations 2 and 3).

    Minus D's loss estimates the Wasserstein distance up to a factor, if D is Lipschitz. Otherwise it has no bound.
    """

    requires_lipschitz: ClassVar[bool] = True
    zero_is_undecided: ClassVar[bool] = False
    zero_sum: ClassVar[bool] = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {"loss_real": -real.mean(), "loss_fake": fake.mean()}

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True, kw_only=True)
class Relativistic(Loss):
    """The relativistic pairing loss, RpGAN (Jolicoeur-Martineau 2019, section 4).

    D compares each real image with the fake image at the same position of the batch. Both losses are log 2 if it sees
    no difference. Huang et al. 2024 (section 2) argue that it prevents mode collapse.
    """

    generator_sees_real: ClassVar[bool] = True
    zero_is_undecided: ClassVar[bool] = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Terms:
        return {"loss_pairs": F.softplus(fake - real).mean()}

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        assert real is not None
        return F.softplus(real - fake).mean()


def cross_entropy(logits: Tensor, target: Score) -> Tensor:
    """Mean binary cross-entropy of sigmoid(logits) with `target`."""
    return F.binary_cross_entropy_with_logits(logits, targets(logits, target))


def probability_cross_entropy(logits: Tensor, target: Score) -> Tensor:
    """The same as torch's BCELoss of sigmoid(logits); NaN, for which BCELoss raises an error, gives NaN."""
    probabilities = logits.sigmoid()
    loss = F.binary_cross_entropy(probabilities.nan_to_num(), targets(logits, target))
    return torch.where(probabilities.isnan().any(), torch.nan, loss)


def targets(logits: Tensor, target: Score) -> Tensor:
    """`target` for each of the `logits`, drawn uniformly if it is a range."""
    if isinstance(target, (int, float)):
        return torch.full_like(logits, target)
    return torch.empty_like(logits).uniform_(*target)
