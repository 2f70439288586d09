"""Penalties on the gradient of D's logit with respect to the image."""

from collections.abc import Hashable
from typing import ClassVar

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import PositiveFloat, PositiveInt
from gan.models.layers import has_batch_norm
from gan.tricks.base import LogitsFunction, Trick, TrickContext


def squared_gradient_norm(logits_of: LogitsFunction, images: Tensor) -> Tensor:
    """|dD/dx|^2 for each logit (B,) of the `images` (B, C, H, W), differentiable again."""
    images = images.detach().requires_grad_()
    logits = logits_of(images)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).view(len(logits), -1).sum(dim=1)  # packing: several images a logit


def deviation_from_one(logits_of: LogitsFunction, images: Tensor) -> Tensor:
    """Mean of (|dD/dx| - 1)^2 over the `images` (B, C, H, W)."""
    norm = (squared_gradient_norm(logits_of, images) + 1e-12).sqrt()  # the square root has no gradient at 0
    return (norm - 1).square().mean()


class GradientPenalty(Trick):
    """Base class of the penalties.

    With trick=minibatch_stddev, logits depend on several images: the gradient is then that of the sum of all logits, as
    in Karras et al. 2018.
    """

    enforces_lipschitz: ClassVar[bool] = True

    def check(self, context: TrickContext) -> None:
        if has_batch_norm(context.discriminator):
            raise ConfigError(
                "BatchNorm in the discriminator does not go with a gradient penalty, which is defined for each image "
                "alone: choose model.discriminator.norm=none and, with model=conv_logit_norm, "
                "model.discriminator.norm_logit=false; or leave the penalty out."
            )


class R1(GradientPenalty):
    """Zero-centered gradient penalty on real images (Mescheder et al. 2018, equation 9).

    Args:
        gamma: gamma/2 times the mean of |dD/dx|^2 is added to D's loss.
        every: apply the penalty only in every `every`-th step, multiplied by `every` (lazy regularization, Karras et
            al. 2020a, appendix B). In the other steps 0 is logged.
    """

    penalized_norm: ClassVar[float | None] = 0.0

    def __init__(self, *, gamma: PositiveFloat = 10.0, every: PositiveInt = 1) -> None:
        self.gamma, self.every, self.is_due = gamma, every, True

    def begin_step(self, step: int) -> None:
        self.is_due = step % self.every == 0

    def graph_key(self) -> Hashable | None:
        return self.is_due

    def penalties(self, logits_of: LogitsFunction, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"r1": self.penalty(logits_of, real)}

    def penalty(self, logits_of: LogitsFunction, images: Tensor) -> Tensor:
        """The penalty (0-d) on these images; 0 if it is not due in this step."""
        if not self.is_due:
            return images.new_zeros(())
        return self.every * self.gamma / 2 * squared_gradient_norm(logits_of, images).mean()


class R2(R1):
    """The same on fake images (Mescheder et al. 2018, equation 10)."""

    def penalties(self, logits_of: LogitsFunction, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"r2": self.penalty(logits_of, fake)}


class WganGp(GradientPenalty):
    """Gradient norm 1 on lines between real and fake images (Gulrajani et al. 2017, equation 3).

    Args:
        weight: lambda in the paper.
    """

    penalized_norm: ClassVar[float | None] = 1.0

    def __init__(self, *, weight: PositiveFloat = 10.0) -> None:
        self.weight, self.images_per_pack = weight, 1

    def check(self, context: TrickContext) -> None:
        super().check(context)
        self.images_per_pack = context.tricks.images_per_logit

    def penalties(self, logits_of: LogitsFunction, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        shape = len(real) // self.images_per_pack, *[1] * (real.dim() - 1)
        packs = torch.rand(shape, device=real.device)
        between = torch.lerp(real, fake.detach(), packs.repeat_interleave(self.images_per_pack, 0))
        return {"wgan_gp": self.weight * deviation_from_one(logits_of, between)}


class Dragan(GradientPenalty):
    """Gradient norm 1 around real images (Kodali et al. 2017, section 2.3).

    Args:
        weight: lambda in the paper.
        noise_scale: uniform noise from 0 to `noise_scale` standard deviations of all pixels is added to real images,
            as in the authors' code. The paper adds normal noise.
    """

    penalized_norm: ClassVar[float | None] = 1.0

    def __init__(self, *, weight: PositiveFloat = 10.0, noise_scale: PositiveFloat = 0.5) -> None:
        self.weight, self.noise_scale = weight, noise_scale

    def penalties(self, logits_of: LogitsFunction, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        around = real + self.noise_scale * real.std() * torch.rand_like(real)
        return {"dragan": self.weight * deviation_from_one(logits_of, around)}
