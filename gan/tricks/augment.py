"""Changed images for D, real and fake alike, so that it cannot learn the few real ones by heart."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import NonNegativeFloat, PositiveInt, Probability
from gan.data.image_shape import ImageShape
from gan.tricks.base import Trick, TrickContext

Change = Callable[[Tensor], Tensor]  # images (B, C, H, W) to as many changed ones


class DiffAugment(Trick):
    """Colour, shift and cutout on all that D sees; G's gradient passes through them (Zhao et al. 2020, section 3).

    Args:
        color: how strong the changes of brightness, saturation and contrast are; 1 as in the authors' code.
        translation: the furthest that a image moves, as a share of its side.
        cutout: the side of the square that is cut out, as a share of the image's.
    """

    def __init__(self, *, color: NonNegativeFloat, translation: Probability, cutout: Probability) -> None:
        self.color, self.translation, self.cutout = color, translation, cutout
        self.middle, self.span = 0.0, 2.0

    def check(self, game: TrickContext) -> None:
        if not (self.color or self.translation or self.cutout):
            raise ConfigError("this trick would change nothing: its color, translation and cutout are all 0.")

    def prepare_generator(self, generator: nn.Module, image: ImageShape) -> None:
        low, high = generator.pixel_range
        self.middle, self.span = (low + high) / 2, high - low

    def show(self, images: Tensor) -> Tensor:
        for change in self.changes():
            images = change(images)
        return images

    def changes(self) -> list[Change]:
        """What is done to images, one after another."""
        found = [self.brightened, self.saturated, self.contrasted] if self.color else []
        return [*found, *([self.shifted] if self.translation else []), *([self.cut] if self.cutout else [])]

    def brightened(self, images: Tensor) -> Tensor:
        return images + self.color * self.span / 2 * (uniform(images) - 0.5)

    def saturated(self, images: Tensor) -> Tensor:
        return stretched(images, images.mean(dim=1, keepdim=True), 1 + self.color * (2 * uniform(images) - 1))

    def contrasted(self, images: Tensor) -> Tensor:
        return stretched(images, images.mean(dim=(1, 2, 3), keepdim=True), 1 + self.color * (uniform(images) - 0.5))

    def shifted(self, images: Tensor) -> Tensor:
        side = images.shape[2]
        furthest = int(self.translation * side + 0.5)
        rows, columns = (
            torch.arange(side, device=images.device) + whole(images, -furthest, furthest)[:, None] for _ in range(2)
        )  # where each pixel comes from (B, side)
        inside = within(rows, side)[:, None, :, None] & within(columns, side)[:, None, None, :]
        moved = images - self.middle
        moved = moved.gather(2, rows.clamp(0, side - 1)[:, None, :, None].expand_as(images))
        moved = moved.gather(3, columns.clamp(0, side - 1)[:, None, None, :].expand_as(images))
        return moved * inside + self.middle

    def cut(self, images: Tensor) -> Tensor:
        side = images.shape[2]
        length = int(self.cutout * side + 0.5)
        places = torch.arange(side, device=images.device)
        rows, columns = (places - whole(images, 0, side - length % 2)[:, None] + length // 2 for _ in range(2))
        hole = within(rows, length)[:, None, :, None] & within(columns, length)[:, None, None, :]
        return images.masked_fill(hole, self.middle)


class AdaptiveAugment(DiffAugment):
    """The same changes, each made to a share of the images that grows while D is too sure (Karras et al. 2020b).

    D is too sure where the mean sign of its logits for real images is above `target` (section 3, equation 1).

    Args:
        target: the paper's r_t.
        images: real ones that D sees while the share goes from 0 to 1; 500,000 in the paper.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(
        self,
        *,
        target: Probability,
        images: PositiveInt,
        color: NonNegativeFloat,
        translation: Probability,
        cutout: Probability,
    ) -> None:
        super().__init__(color=color, translation=translation, cutout=cutout)
        self.target, self.images = target, images
        self.share = torch.zeros(())

    def check(self, game: TrickContext) -> None:
        super().check(game)
        if not game.loss.undecided_at_zero:
            raise ConfigError(
                f"trick=adaptive_augment is steered by the sign of D's logits, which says nothing with "
                f"{type(game.loss).__name__}'s loss: choose loss=nonsaturating, minimax, naive_log or hinge."
            )

    def changes(self) -> list[Change]:
        return [lambda images, change=change: self.now_and_then(change, images) for change in super().changes()]

    def now_and_then(self, change: Change, images: Tensor) -> Tensor:
        """`change` made to the share of the images."""
        return torch.where(uniform(images) < self.share, change(images), images)

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> None:
        too_sure = (real_logits.detach().sign().mean() - self.target).sign()
        self.share = (self.share.to(real.device) + too_sure * (len(real) / self.images)).clamp(0, 1)

    def numbers(self, weights: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        return {"discriminator/augment_probability": self.share}

    def state(self) -> dict[str, Any]:
        return {"share": self.share}

    def restore(self, state: dict[str, Any]) -> None:
        self.share = state["share"]


def uniform(images: Tensor) -> Tensor:
    """A number from 0 to 1 for each of the images (B, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device)


def whole(images: Tensor, low: int, high: int) -> Tensor:
    """A whole number from `low` to `high`, both included, for each of the images (B,)."""
    return torch.randint(low, high + 1, (len(images),), device=images.device)


def within(places: Tensor, length: int) -> Tensor:
    """Which places lie from 0 up to `length`."""
    return (places >= 0) & (places < length)


def stretched(images: Tensor, centre: Tensor, factor: Tensor) -> Tensor:
    """`images` moved away from their `centre`, or to it."""
    return (images - centre) * factor + centre
