"""Tricks that must run code. A trick that is only a number is one file in `conf/trick` and no code."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from gan.config.schema import Train, Watch
from gan.data.image_shape import ImageShape
from gan.losses import Loss

Judge = Callable[[Tensor], Tensor]  # images (B, C, H, W) to logits (B,), in float32
Features = Callable[[Tensor], Tensor]  # images (B, C, H, W) to what D's last layer sees of them (B, ...)


class TrickContext(NamedTuple):
    """What a trick may have to know before it says whether it makes sense."""

    image: ImageShape
    train: Train
    watch: Watch
    loss: Loss
    has_classes: bool  # whether the players are told of classes
    images_per_logit: int  # that D judges together


class Failure(NamedTuple):
    """Something that went wrong in the game itself: in a sentence, and whether to stop for it."""

    sentence: str
    stop: bool


class Trick:
    """The places where a trick may act, in the order in which they come; here each does nothing."""

    wanted_slopes: ClassVar[frozenset[int]] = frozenset()  # what it wants of how D's logit changes with the image
    bounds_slope: ClassVar[bool] = False  # whether it keeps that change within bounds
    clips_weights: ClassVar[bool] = False  # whether it does so by cutting weights off
    scales_weights: ClassVar[bool] = False  # whether it does so by dividing them
    mixes_images: ClassVar[bool] = False  # whether it lets D compare the images of a batch
    uses_labels: ClassVar[bool] = False  # whether it tells the players of classes
    needs_whole_batch: ClassVar[bool] = False  # whether a part of a batch, in each of several processes, is not enough
    images_per_logit: int = 1  # that D judges together

    def check(self, game: TrickContext) -> None:
        """Learn of the game, once and before all else. Raise ConfigError where the trick makes no sense in it."""

    def prepare_generator(self, generator: nn.Module, image: ImageShape) -> None:
        """Change G's layers in place, once, before training or sampling."""

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        """Change D's layers in place, once, before training."""

    def begin(self, step: int) -> None:
        """Called before update number `step`, which counts from 0."""

    def recall(self, fake: Tensor) -> Tensor:
        """The fakes that D moves on in place of `fake` (B, C, H, W), which G has just drawn."""
        return fake

    def show(self, images: Tensor) -> Tensor:
        """What D sees in place of `images` (B, C, H, W), real or fake, in either player's step."""
        return images

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Called in D's step with the images (B, C, H, W), before `show`, and what D said of them (B,)."""

    def label(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B,) that D is told are of real images, and of fakes, in its own step."""
        return real, fake

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """What is added to D's loss, by name (0-d), for what D was shown (B, C, H, W)."""
        return {}

    def constrain(self, weights: list[Tensor]) -> None:
        """Change D's weights in place, after each of its moves."""

    def guide(self, loss: Tensor, features: Features, real: Tensor, fake: Tensor) -> Tensor:
        """What G minimises in place of `loss` (0-d), in its own step; `fake` (B, C, H, W) carries G's graph."""
        return loss

    def numbers(self, weights: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        """What is logged of the step that was just made, by name (0-d): the same names every time.

        `weights` has those of either player, by its name; in `grad` is what they moved along.
        """
        return {}

    def review(self, step: int, numbers: dict[str, float]) -> list[Failure]:
        """What is wrong, as far as the `numbers` logged after `step` updates tell."""
        return []

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold of it: tensors, numbers, text, and dicts and lists of them."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where the checkpoint was."""


class Tricks(Trick):
    """Several tricks as one: each acts on what the one before it left."""

    def __init__(self, tricks: list[Trick]) -> None:
        self.tricks = tricks
        self.wanted_slopes = frozenset().union(*(trick.wanted_slopes for trick in tricks))
        self.bounds_slope = any(trick.bounds_slope for trick in tricks)
        self.clips_weights = any(trick.clips_weights for trick in tricks)
        self.scales_weights = any(trick.scales_weights for trick in tricks)
        self.mixes_images = any(trick.mixes_images for trick in tricks)
        self.uses_labels = any(trick.uses_labels for trick in tricks)
        self.images_per_logit = max([1, *(trick.images_per_logit for trick in tricks)])

    def check(self, game: TrickContext) -> None:
        for trick in self.tricks:
            trick.check(game)

    def prepare_generator(self, generator: nn.Module, image: ImageShape) -> None:
        for trick in self.tricks:
            trick.prepare_generator(generator, image)

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        for trick in sorted(self.tricks, key=lambda trick: trick.bounds_slope):  # weights are added, then bounded
            trick.prepare_discriminator(discriminator, image)

    def begin(self, step: int) -> None:
        for trick in self.tricks:
            trick.begin(step)

    def recall(self, fake: Tensor) -> Tensor:
        for trick in self.tricks:
            fake = trick.recall(fake)
        return fake

    def show(self, images: Tensor) -> Tensor:
        for trick in self.tricks:
            images = trick.show(images)
        return images

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> None:
        for trick in self.tricks:
            trick.observe(real, fake, real_logits, fake_logits)

    def label(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        for trick in self.tricks:
            real, fake = trick.label(real, fake)
        return real, fake

    def penalties(self, judge: Judge, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {name: term for trick in self.tricks for name, term in trick.penalties(judge, real, fake).items()}

    def constrain(self, weights: list[Tensor]) -> None:
        for trick in self.tricks:
            trick.constrain(weights)

    def guide(self, loss: Tensor, features: Features, real: Tensor, fake: Tensor) -> Tensor:
        for trick in self.tricks:
            loss = trick.guide(loss, lambda images: features(self.show(images)), real, fake)
        return loss

    def numbers(self, weights: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        return {name: number for trick in self.tricks for name, number in trick.numbers(weights).items()}

    def review(self, step: int, numbers: dict[str, float]) -> list[Failure]:
        return [failure for trick in self.tricks for failure in trick.review(step, numbers)]

    def state(self) -> dict[str, Any]:
        return {"tricks": [trick.state() for trick in self.tricks]}

    def restore(self, state: dict[str, Any]) -> None:
        for trick, kept in zip(self.tricks, state["tricks"], strict=True):
            trick.restore(kept)
