"""Augmentation of all images that D sees, real and fake, so that it cannot overfit a small dataset."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from gan.config.errors import ConfigError
from gan.config.types import NonNegativeFloat, PositiveInt, Probability
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.tricks.base import Trick, TrickContext

Transform = Callable[[Tensor], Tensor]  # images (B, C, H, W) to as many transformed images


class DiffAugment(Trick):
    """Differentiable color, translation and cutout: G's gradient passes through them (Zhao et al. 2020, section 3).

    Args:
        color: strength of the changes of brightness, saturation and contrast; 1 in the authors' code.
        translation: largest shift, as a fraction of the image size.
        cutout: side of the square that is cut out, as a fraction of the image size.
    """

    name: ClassVar[str] = "diffaugment"
    images_only: ClassVar[bool] = True

    def __init__(
        self, *, color: NonNegativeFloat = 1.0, translation: Probability = 0.125, cutout: Probability = 0.5
    ) -> None:
        self.color, self.translation, self.cutout = color, translation, cutout
        self.gray, self.span = 0.0, 2.0  # middle and width of the pixel range

    def check(self, context: TrickContext) -> None:
        if not (self.color or self.translation or self.cutout):
            raise ConfigError(f"trick={self.name}: one of color, translation and cutout must be > 0.")

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        assert generator.pixel_range is not None  # it is for images only
        low, high = generator.pixel_range
        self.gray, self.span = (low + high) / 2, high - low

    def augment(self, images: Tensor) -> Tensor:
        for transform in self.transforms():
            images = transform(images)
        return images

    def transforms(self) -> list[Transform]:
        """What is applied to the images, in order."""
        color = [self.change_brightness, self.change_saturation, self.change_contrast] if self.color else []
        return [*color, *([self.translate] if self.translation else []), *([self.cut_out] if self.cutout else [])]

    def change_brightness(self, images: Tensor) -> Tensor:
        return images + self.color * self.span / 2 * (uniform(images) - 0.5)

    def change_saturation(self, images: Tensor) -> Tensor:
        return scale_around(images, images.mean(dim=1, keepdim=True), 1 + self.color * (2 * uniform(images) - 1))

    def change_contrast(self, images: Tensor) -> Tensor:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return scale_around(images, mean, 1 + self.color * (uniform(images) - 0.5))

    def translate(self, images: Tensor) -> Tensor:
        side = images.shape[2]
        largest = int(self.translation * side + 0.5)
        rows, columns = (
            torch.arange(side, device=images.device) + random_integers(images, -largest, largest)[:, None]
            for _ in range(2)
        )  # the source of each pixel (B, side)
        inside = in_range(rows, side)[:, None, :, None] & in_range(columns, side)[:, None, None, :]
        moved = images - self.gray
        moved = moved.gather(2, rows.clamp(0, side - 1)[:, None, :, None].expand_as(images))
        moved = moved.gather(3, columns.clamp(0, side - 1)[:, None, None, :].expand_as(images))
        return moved * inside + self.gray

    def cut_out(self, images: Tensor) -> Tensor:
        side = images.shape[2]
        length = int(self.cutout * side + 0.5)
        pixels = torch.arange(side, device=images.device)
        rows, columns = (
            pixels - random_integers(images, 0, side - length % 2)[:, None] + length // 2 for _ in range(2)
        )
        hole = in_range(rows, length)[:, None, :, None] & in_range(columns, length)[:, None, None, :]
        return images.masked_fill(hole, self.gray)


class AdaptiveAugment(DiffAugment):
    """Applies each transform with a probability that rises while D overfits (Karras et al. 2020b, section 3).

    D overfits while the mean sign of its logits of real images is above `target` (equation 1).

    Args:
        target: r_t in the paper.
        images: real images that D sees while the probability goes from 0 to 1; 500,000 in the paper, for longer runs.
    """

    name: ClassVar[str] = "adaptive_augment"
    needs_whole_batch: ClassVar[bool] = True

    def __init__(
        self,
        *,
        target: Probability = 0.6,
        images: PositiveInt = 50_000,
        color: NonNegativeFloat = 1.0,
        translation: Probability = 0.125,
        cutout: Probability = 0.5,
    ) -> None:
        super().__init__(color=color, translation=translation, cutout=cutout)
        self.target, self.images = target, images
        self.probability = torch.zeros(())

    def check(self, context: TrickContext) -> None:
        super().check(context)
        if not context.loss.zero_is_undecided:
            raise ConfigError(
                "trick=adaptive_augment needs a loss with which the sign of a logit says real or fake: choose "
                "loss=nonsaturating, bce_probabilities, minimax, naive_log or hinge."
            )

    def transforms(self) -> list[Transform]:
        return [partial(self.apply_to_some, transform) for transform in super().transforms()]

    def apply_to_some(self, transform: Transform, images: Tensor) -> Tensor:
        """`transform` with the current probability for each image."""
        return torch.where(uniform(images) < self.probability, transform(images), images)

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        direction = (real_logits.detach().sign().mean() - self.target).sign()
        self.probability = self.probability.to(real.device)  # that of a checkpoint is on the CPU
        self.probability.add_(direction * (len(real) / self.images)).clamp_(0, 1)
        return {"discriminator/augment_probability": self.probability.clone()}

    def state_dict(self) -> dict[str, Any]:
        return {"probability": self.probability}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.probability = state["probability"]


def uniform(images: Tensor) -> Tensor:
    """A number in [0, 1) for each of the images (B, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def random_integers(images: Tensor, low: int, high: int) -> Tensor:
    """An integer in [low, high] for each of the images (B,)."""
    return torch.randint(low, high + 1, (len(images),), device=images.device)


def in_range(indices: Tensor, length: int) -> Tensor:
    """Which indices lie in [0, length)."""
    return (indices >= 0) & (indices < length)


def scale_around(images: Tensor, center: Tensor, factor: Tensor) -> Tensor:
    """`images` with their distance from `center` scaled."""
    return (images - center) * factor + center
