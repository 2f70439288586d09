"""Against fakes that are all alike: D compares images, or G is asked for their statistics."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.tricks.base import Features, Trick, TrickContext
from gan.tricks.layer_edits import append, last_weight_layer, weight_layers, widen


class Replay(Trick):
    """Shows D old fakes among the new ones, so that G cannot go round in circles (ganhacks 8; Shrivastava et al. 2017,
    section 2.3).

    Args:
        images: that are kept. Each step a few new ones take the places of as many, chosen at random.
        share: of the fakes that D moves on, how many are old, once so many have been kept.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, images: PositiveInt, fraction: Fraction) -> None:
        self.images, self.fraction = images, fraction
        self.kept: Tensor | None = None
        self.filled = 0

    def check(self, game: TrickContext) -> None:
        count = self.count(game.train.batch_size)
        if game.train.update == "simultaneous":
            raise ConfigError(
                "trick=replay shows D other fakes than G's own, and train.update=simultaneous moves both on the same "
                "ones: choose discriminator_first or generator_first."
            )
        if game.has_classes:
            raise ConfigError("trick=replay keeps fakes without their classes, so it cannot go with trick=conditional.")
        if not 0 < count <= self.images:
            raise ConfigError(
                f"trick.replay.fraction={self.fraction} of a batch of {game.train.batch_size} is {count} images: it should "
                f"be from 1 to trick.replay.images={self.images}."
            )

    def count(self, batch_size: int) -> int:
        """How many of a batch are old."""
        return round(self.fraction * batch_size)

    def recall(self, fake: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = fake.new_empty(self.images, *fake.shape[1:])
        self.kept = self.kept.to(fake.device)  # a checkpoint's is on the CPU
        if self.filled < self.images:
            new = fake[: self.images - self.filled]
            self.kept[self.filled : self.filled + len(new)] = new
            self.filled += len(new)
            return fake
        count = self.count(len(fake))
        places = torch.randperm(self.images, device=fake.device)[:count]
        old = self.kept[places]
        self.kept[places] = fake[-count:]
        return torch.cat([fake[:-count], old])

    def state(self) -> dict[str, Any]:
        return {"kept": self.kept, "filled": self.filled}

    def restore(self, state: dict[str, Any]) -> None:
        self.kept, self.filled = state["kept"], state["filled"]


class Spread(nn.Module):
    """Puts beside each image's features how much they differ within its group: one number for all of them."""

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, features: Tensor) -> Tensor:
        groups = features.float().unflatten(0, (-1, self.group))
        deviation = (groups.var(dim=1, correction=0) + 1e-8).sqrt()
        spread = deviation.flatten(1).mean(dim=1).repeat_interleave(self.group)
        return append(features, spread[:, None])


class MinibatchStddev(Trick):
    """D's last layer sees how much the images of a group differ (Karras et al. 2018, section 3).

    Args:
        group: images that are compared, 4 in the authors' code; the batch is cut into such groups.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, group_size: PositiveInt) -> None:
        self.group = group_size

    def check(self, game: TrickContext) -> None:
        judged = game.train.batch_size // game.images_per_logit
        if self.group == 1 or judged % self.group:
            raise ConfigError(
                f"trick.minibatch_stddev.group_size={self.group} does not fit the {judged} that D judges of a batch: it "
                "should be 2 or more, and divide that."
            )

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        place = last_weight_layer(discriminator.logit)
        widen(discriminator.logit[place], 1)
        discriminator.logit.insert(place, Spread(self.group))


class Closeness(nn.Module):
    """Puts beside each image's features how close it is to the others of its batch, in so many kernels.

    Closeness is the mean over the others, from 0 to 1; the paper adds them up, which drowns the other features.
    """

    def __init__(self, inputs: int, kernels: int, dims: int) -> None:
        super().__init__()
        self.kernels, self.dims = kernels, dims
        self.project = nn.Linear(inputs, kernels * dims, bias=False)
        nn.init.normal_(self.project.weight, std=3 / math.sqrt(inputs))  # images begin far enough apart to differ

    def forward(self, features: Tensor) -> Tensor:
        points = self.project(features.flatten(1)).float().unflatten(1, (self.kernels, self.dims))
        distance = (points[:, None] - points[None]).abs().sum(dim=3)  # (B, B, kernels)
        others = max(len(features) - 1, 1)
        closeness = torch.exp(-distance).sum(dim=1) - 1  # each is at distance 0 from itself
        return append(features, closeness / others)


class MinibatchDiscrimination(Trick):
    """D's last layer sees how close each image is to the others (Salimans et al. 2016, section 3.2).

    Args:
        kernels: the paper's B, ways to measure closeness.
        dims: the paper's C, numbers that each of them compares.
    """

    mixes_images: ClassVar[bool] = True
    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, kernels: PositiveInt, dims: PositiveInt) -> None:
        self.kernels, self.dims = kernels, dims

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        widen(discriminator.logit[last_weight_layer(discriminator.logit)], self.kernels)
        discriminator.logit.insert(0, Closeness(discriminator.feature_count, self.kernels, self.dims))


class FeatureMatching(Trick):
    """G matches the mean of D's features over real images (Salimans et al. 2016, section 3.1).

    The features are what D's last layer sees.

    Args:
        weight: of the squared distance between the means.
        adversarial_weight: how much of G's own loss stays; 0 as in the paper.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, weight: PositiveFloat, adversarial_weight: NonNegativeFloat) -> None:
        self.weight, self.adversarial_weight = weight, adversarial_weight

    def guide(self, loss: Tensor, features: Features, real: Tensor, fake: Tensor) -> Tensor:
        apart = (features(real).mean(dim=0) - features(fake).mean(dim=0)).square().sum()
        return self.adversarial_weight * loss + self.weight * apart if self.adversarial_weight else self.weight * apart


class Pack(nn.Module):
    """Several images as one with more channels: (B, C, H, W) to (B / n, n C, H, W)."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images = images

    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(-1, self.images * images.shape[1], *images.shape[2:])


class Packing(Trick):
    """D judges several images at once, all real or all fake (PacGAN, Lin et al. 2018, section 3).

    Args:
        images: that D sees together. Its first layer grows to take them; it has one logit for all.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, images: PositiveInt) -> None:
        self.images = self.images_per_logit = images

    def check(self, game: TrickContext) -> None:
        if self.images == 1 or game.train.batch_size % self.images:
            raise ConfigError(
                f"trick.packing.images={self.images} does not fit train.batch_size={game.train.batch_size}: it "
                "should be 2 or more, and divide it."
            )
        if game.has_classes:
            raise ConfigError("trick=packing has one logit for images of several classes: leave trick=conditional out.")

    def prepare_discriminator(self, discriminator: nn.Module, image: ImageShape) -> None:
        layers = weight_layers(discriminator.features)
        if not layers:
            raise ConfigError(
                "trick=packing widens D's first layer, and this D has none before its logit: give it one."
            )
        first = layers[0]
        widen(first, (self.images - 1) * first.weight.shape[1])
        discriminator.features.insert(0, Pack(self.images))
