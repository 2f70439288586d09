"""The hooks of a trick. A trick that only sets a number is one file in `conf/trick` and no code."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from gan.config.schema import Train, Watch
from gan.data.datasets import ImageDataset
from gan.data.image_shape import DataShape
from gan.losses import Loss
from gan.models.base import Discriminator, Generator
from gan.player import Players

# Images are (B, C, H, W), or points (B, d)
LogitsFunction = Callable[[Tensor], Tensor]  # images to D's logits (B,), differentiable twice
Pair = tuple[Tensor, Tensor]  # of real and of fake
FeaturesFunction = Callable[[Tensor], Tensor]  # images (B, C, H, W) to D's features (B, ...)


class Batch(NamedTuple):
    """The data for one update.

    Args:
        real: images (B, C, H, W) in the pixel range of the generator.
        noise: (B, noise_dim), the input of the generator.
        labels: classes int64 (B,) of the real and of the fake images; None if the networks are unconditional.
    """

    real: Tensor
    noise: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True)
class TrickContext:
    """The run that a trick is part of, for its `check`."""

    image: DataShape
    train: Train
    watch: Watch
    loss: Loss
    tricks: "Tricks"
    generator: Generator
    discriminator: Discriminator


class Failure(NamedTuple):
    """A failure of the training itself, and whether to stop for it."""

    sentence: str
    stop: bool


class Trick:
    """The hooks, in the order in which they are called. The defaults do nothing."""

    penalized_norm: ClassVar[float | None] = None  # target of a gradient penalty: norm of D's gradient at the images
    enforces_lipschitz: ClassVar[bool] = False  # whether it keeps D Lipschitz
    mixes_images: ClassVar[bool] = False  # whether the logit of an image depends on the other images of its batch
    uses_features: ClassVar[bool] = False  # whether it needs a discriminator that has features
    uses_labels: ClassVar[bool] = False  # whether both networks receive class labels
    images_only: ClassVar[bool] = False  # whether it changes images as images, and means nothing for points
    uses_noise: ClassVar[bool] = False  # whether it compares a fake image with the noise that it was made of
    needs_whole_batch: ClassVar[bool] = False  # whether it is wrong on a part of a batch, as with several processes
    images_per_logit: int = 1  # how many images D classifies together

    def check(self, context: TrickContext) -> None:
        """Called once, before training. Raises ConfigError where the trick cannot work in this run."""

    def label_images(self, dataset: ImageDataset) -> Tensor | None:
        """Classes int64 (N,) of the training images, for both networks; None: they receive none.

        Called once, before training. Raises ConfigError where they cannot have any.
        """
        return None

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        """Change layers in place, once, before training or sampling."""

    def begin_training(self, players: Players) -> None:
        """Called once, when the networks are as they are trained and have their optimizers.

        Raises ConfigError for an optimizer that the trick cannot work with.
        """

    def begin_step(self, step: int) -> None:
        """Called before update number `step`, counted from 0."""

    def graph_key(self) -> Hashable | None:
        """What this step reads from Python and another step may not: a CUDA graph has it as a constant.

        None: this step is not captured as a CUDA graph. What a trick keeps on the device it must change in place.
        """
        return ()

    def replay(self, fake: Tensor) -> Tensor:
        """Fake images for D's step in place of `fake` (B, C, H, W), which G has just generated."""
        return fake

    def augment(self, images: Tensor) -> Tensor:
        """What D sees in place of `images` (B, C, H, W), real or fake, in both steps."""
        return images

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        """Called in D's step with the images (B, C, H, W) before `augment`, and their logits (B,).

        Returns metrics to log, 0-d tensors by name. The names must be the same in every step.
        """
        return {}

    def penalties(self, logits_of: LogitsFunction, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Terms to add to D's loss, by name (0-d), for the augmented images (B, C, H, W)."""
        return {}

    def discriminator_terms(self, players: Players, batch: Batch, inputs: Pair, logits: Pair) -> dict[str, Tensor]:
        """Terms to add to D's loss, by name (0-d).

        Args:
            inputs: real and fake images (B, C, H, W) as D saw them, augmented.
            logits: D's logits (B,) of them.
        """
        return {}

    def generator_terms(self, players: Players, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Terms to add to G's loss, by name (0-d). `fake` (B, C, H, W) is augmented, and carries the graph of G."""
        return {}

    def generator_loss(self, loss: Tensor, features: FeaturesFunction, real: Tensor, fake: Tensor) -> Tensor:
        """G's loss in place of `loss` (0-d). `fake` (B, C, H, W) carries the graph of G."""
        return loss

    def find_failures(self, step: int, metrics: dict[str, float]) -> list[Failure]:
        """New failures, from the `metrics` that are logged after `step` updates."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint: tensors, numbers, strings, and dicts and lists of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class Tricks(Trick):
    """Several tricks as one. Each acts on the result of the one before it."""

    def __init__(self, tricks: list[Trick]) -> None:
        self.tricks = tricks
        self.images_per_logit = max([1, *(trick.images_per_logit for trick in tricks)])

    def any(self, flag: str) -> bool:
        """Whether one of the tricks has this flag, such as "uses_labels"."""
        return any(getattr(trick, flag) for trick in self.tricks)

    def check(self, context: TrickContext) -> None:
        for trick in self.tricks:
            trick.check(context)

    def label_images(self, dataset: ImageDataset) -> Tensor | None:
        every = [trick.label_images(dataset) for trick in self.tricks]
        return next((labels for labels in every if labels is not None), None)

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        # spectral_norm comes last, so that it also normalizes the layers that other tricks add
        for trick in sorted(self.tricks, key=lambda trick: trick.enforces_lipschitz):
            trick.modify_networks(generator, discriminator, image)

    def begin_training(self, players: Players) -> None:
        for trick in self.tricks:
            trick.begin_training(players)

    def begin_step(self, step: int) -> None:
        for trick in self.tricks:
            trick.begin_step(step)

    def graph_key(self) -> Hashable | None:
        keys = tuple(trick.graph_key() for trick in self.tricks)
        return None if None in keys else keys

    def replay(self, fake: Tensor) -> Tensor:
        for trick in self.tricks:
            fake = trick.replay(fake)
        return fake

    def augment(self, images: Tensor) -> Tensor:
        for trick in self.tricks:
            images = trick.augment(images)
        return images

    def observe(self, real: Tensor, fake: Tensor, real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
        observed = [trick.observe(real, fake, real_logits, fake_logits) for trick in self.tricks]
        return {name: value for values in observed for name, value in values.items()}

    def penalties(self, logits_of: LogitsFunction, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {name: term for trick in self.tricks for name, term in trick.penalties(logits_of, real, fake).items()}

    def discriminator_terms(self, players: Players, batch: Batch, inputs: Pair, logits: Pair) -> dict[str, Tensor]:
        terms = [trick.discriminator_terms(players, batch, inputs, logits) for trick in self.tricks]
        return {name: term for named in terms for name, term in named.items()}

    def generator_terms(self, players: Players, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        terms = [trick.generator_terms(players, batch, fake) for trick in self.tricks]
        return {name: term for named in terms for name, term in named.items()}

    def generator_loss(self, loss: Tensor, features: FeaturesFunction, real: Tensor, fake: Tensor) -> Tensor:
        def augmented_features(images: Tensor) -> Tensor:  # D sees augmented images only
            return features(self.augment(images))

        for trick in self.tricks:
            loss = trick.generator_loss(loss, augmented_features, real, fake)
        return loss

    def find_failures(self, step: int, metrics: dict[str, float]) -> list[Failure]:
        return [failure for trick in self.tricks for failure in trick.find_failures(step, metrics)]

    def state_dict(self) -> dict[str, Any]:
        return {"tricks": [trick.state_dict() for trick in self.tricks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for trick, trick_state in zip(self.tricks, state["tricks"], strict=True):
            trick.load_state_dict(trick_state)
