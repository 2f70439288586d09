"""What keeps D smooth: its slope is the gradient of its logit with respect to the image."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gan.config.errors import ConfigError
from gan.config.types import PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.tricks.base import Judge, Trick, TrickContext
from gan.tricks.layer_edits import weight_layers


def squared_slope(judge: Judge, images: Tensor) -> Tensor:
    """|dD/dx|^2 for each logit (B,) of the `images` (B, C, H, W), which can be differentiated again."""
    images = images.detach().requires_grad_()
    logits = judge(images)
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).view(len(logits), -1).sum(dim=1)  # a packed D's logit has several


def distance_from_one(judge: Judge, images: Tensor) -> Tensor:
    """(|dD/dx| - 1)^2, its mean over the `images` (B, C, H, W)."""
    length = (squared_slope(judge, images) + 1e-12).sqrt()  # the root of exactly 0 has no gradient
    return (length - 1).square().mean()


class SlopePenalty(Trick):
    """What the penalties share: they look at D's slope, and so bound it.

    Where D sees how much the images of a group differ (trick=minibatch_stddev), the slope is that of the sum of all
    logits, as in Karras et al. 2018.
    """

    wanted_slopes: ClassVar[frozenset[int]] = frozenset({1})
    bounds_slope: ClassVar[bool] = True

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in discriminator.modules()):
            raise ConfigError(
                "a penalty on D's slope at each image makes no sense where BatchNorm mixes the images of a batch: "
                "choose model.discriminator.norm=none, or leave the penalty out."
            )


class R1(SlopePenalty):
    """Makes D flat at real images, so that the game can come to rest there (Mescheder et al. 2018, equation 9).

    Args:
        gamma: half of it times the mean of |dD/dx|^2 is added to D's loss.
        every: the penalty is taken at one step of so many, and weighs as many times more there ("lazy
            regularization", Karras et al. 2020a, appendix B): less work, and a D that is freer in between. With
            watch.log_mean=false what is logged of it is 0 wherever it was not its turn.
    """

    wanted_slopes: ClassVar[frozenset[int]] = frozenset({0})

    def __init__(self, *, gamma: PositiveFloat, every: PositiveInt) -> None:
        self.gamma, self.every, self.due = gamma, every, True

    def begin(self, step: int) -> None:
        self.due = step % self.every == 0

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"r1": self.at(judge, real)}

    def at(self, judge: Judge, images: Tensor) -> Tensor:
        """The penalty (0-d) at these images; 0 where it is not its turn."""
        if not self.due:
            return images.new_zeros(())
        return self.every * self.gamma / 2 * squared_slope(judge, images).mean()


class R2(R1):
    """The same at fakes (Mescheder et al. 2018, equation 10)."""

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"r2": self.at(judge, fake)}


class GradientPenalty(SlopePenalty):
    """Wants D's slope to be 1 between real images and fakes (WGAN-GP, Gulrajani et al. 2017, equation 3).

    Args:
        weight: the paper's lambda.
    """

    def __init__(self, *, weight: PositiveFloat) -> None:
        self.weight, self.together = weight, 1

    def check(self, game: TrickContext) -> None:
        self.together = game.images_per_logit

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        share = torch.rand(len(real) // self.together, 1, 1, 1, device=real.device).repeat_interleave(self.together, 0)
        between = torch.lerp(real, fake.detach(), share)
        return {"wgan_gp": self.weight * distance_from_one(judge, between)}


class Dragan(SlopePenalty):
    """Wants D's slope to be 1 around real images (Kodali et al. 2017, section 2.3).

    Args:
        weight: the paper's lambda.
        spread: each number of a image is raised by up to so many standard deviations of all of them, as in the
            authors' code, which then goes back a random part of that way; the paper draws a normal distance.
    """

    def __init__(self, *, weight: PositiveFloat, noise_scale: PositiveFloat) -> None:
        self.weight, self.noise_scale = weight, noise_scale

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        around = real + self.noise_scale * real.std() * torch.rand_like(real)
        return {"dragan": self.weight * distance_from_one(judge, around)}


class WeightClipping(Trick):
    """Keeps each of D's weights within a box (Arjovsky et al. 2017, algorithm 1).

    Args:
        limit: the paper's c.
    """

    bounds_slope: ClassVar[bool] = True
    clips_weights: ClassVar[bool] = True

    def __init__(self, *, limit: PositiveFloat) -> None:
        self.limit = limit

    def constrain(self, weights: list[Tensor]) -> None:
        for weight in weights:
            weight.clamp_(-self.limit, self.limit)


class SpectralNorm(Trick):
    """Divides each of D's weight matrices by its largest singular value (Miyato et al. 2018, section 2.1).

    A linear layer then lengthens no input; a convolution's kernel is taken as one matrix, as in the paper, which
    bounds it up to a factor. The value is estimated by power iteration.

    Args:
        iterations: of it in each pass through D.
    """

    bounds_slope: ClassVar[bool] = True
    scales_weights: ClassVar[bool] = True

    def __init__(self, *, power_iterations: PositiveInt) -> None:
        self.power_iterations = power_iterations

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        layers = weight_layers(discriminator)
        if not all(layer.weight.any() for layer in layers):
            raise ConfigError(
                "trick=spectral_norm divides each of D's weight matrices by its largest singular value, and this model "
                "has some that begin at 0: choose another model."
            )
        for layer in layers:
            spectral_norm(layer, n_power_iterations=self.power_iterations)
