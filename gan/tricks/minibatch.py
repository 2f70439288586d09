"""Against mode collapse: D compares the images of a batch."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import PositiveInt
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.models.fast_layers import Linear
from gan.tricks.base import Trick, TrickContext
from gan.tricks.layer_edits import append_features, index_of_last_weight_layer, weight_layers, widen


class MinibatchStddevLayer(nn.Module):
    """Appends the mean standard deviation of the features within a group: one value for all its images."""

    def __init__(self, group_size: int) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, features: Tensor) -> Tensor:
        groups = features.float().unflatten(0, (-1, self.group_size))
        deviation = (groups.var(dim=1, correction=0) + 1e-8).sqrt()
        values = deviation.flatten(1).mean(dim=1).repeat_interleave(self.group_size)
        return append_features(features, values[:, None])


class MinibatchStddev(Trick):
    """Minibatch standard deviation before D's last layer (Karras et al. 2018, section 3).

    Args:
        group_size: images that are compared, 4 in the authors' code. It must divide the batch size.
    """

    needs_whole_batch: ClassVar[bool] = True
    uses_features: ClassVar[bool] = True

    def __init__(self, *, group_size: PositiveInt = 4) -> None:
        self.group_size = group_size

    def check(self, context: TrickContext) -> None:
        logits = context.train.batch_size // context.tricks.images_per_logit
        if self.group_size == 1 or logits % self.group_size:
            raise ConfigError(
                f"trick.minibatch_stddev.group_size={self.group_size}: must be >= 2 and divide {logits}, the number of "
                "logits in a batch."
            )

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        last = index_of_last_weight_layer(discriminator.logit)
        widen(discriminator.logit[last], 1)
        discriminator.logit.insert(last, MinibatchStddevLayer(self.group_size))


class MinibatchDiscriminationLayer(nn.Module):
    """Appends the closeness of each image to the others of its batch, in several kernels.

    Closeness is the mean over the other images, in [0, 1]. The paper takes the sum, which outweighs other features.
    """

    def __init__(self, inputs: int, kernels: int, dims: int) -> None:
        super().__init__()
        self.kernels, self.dims = kernels, dims
        self.project = Linear(inputs, kernels * dims, bias=False)
        nn.init.normal_(self.project.weight, std=3 / math.sqrt(inputs))  # images start far enough apart to differ

    def forward(self, features: Tensor) -> Tensor:
        points = self.project(features.flatten(1)).float().unflatten(1, (self.kernels, self.dims))
        distance = (points[:, None] - points[None]).abs().sum(dim=3)  # (B, B, kernels)
        other_count = max(len(features) - 1, 1)
        closeness = torch.exp(-distance).sum(dim=1) - 1  # without the image itself, at distance 0
        return append_features(features, closeness / other_count)


class MinibatchDiscrimination(Trick):
    """Minibatch discrimination before D's last layers (Salimans et al. 2016, section 3.2).

    Args:
        kernels: B in the paper.
        dims: C in the paper, numbers that each kernel compares.
    """

    mixes_images: ClassVar[bool] = True
    needs_whole_batch: ClassVar[bool] = True
    uses_features: ClassVar[bool] = True

    def __init__(self, *, kernels: PositiveInt = 100, dims: PositiveInt = 5) -> None:
        self.kernels, self.dims = kernels, dims

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        widen(discriminator.logit[index_of_last_weight_layer(discriminator.logit)], self.kernels)
        layer = MinibatchDiscriminationLayer(discriminator.feature_count, self.kernels, self.dims)
        discriminator.logit.insert(0, layer)


class Pack(nn.Module):
    """Several images as one with more channels: (B, C, H, W) to (B / n, n C, H, W)."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images = images

    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(-1, self.images * images.shape[1], *images.shape[2:])


class Packing(Trick):
    """D has one logit for several images, all real or all fake (PacGAN, Lin et al. 2018, section 3).

    Args:
        images: per logit. D's first layer is widened for them.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, images: PositiveInt = 2) -> None:
        self.images = self.images_per_logit = images

    def check(self, context: TrickContext) -> None:
        if self.images == 1 or context.train.batch_size % self.images:
            raise ConfigError(
                f"trick.packing.images={self.images}: must be >= 2 and divide train.batch_size="
                f"{context.train.batch_size}."
            )
        if context.tricks.any("uses_labels"):
            raise ConfigError(
                "trick=packing does not go with trick=conditional or clusters: a logit would have several classes."
            )
        if context.tricks.any("uses_noise"):
            raise ConfigError("trick=packing does not go with trick=infogan: a logit would have several codes.")
        if not weight_layers(context.discriminator.features):
            raise ConfigError("trick=packing widens D's first layer, and this D has no layer before its logit.")

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        first = weight_layers(discriminator.features)[0]
        widen(first, (self.images - 1) * first.weight.shape[1])
        discriminator.features.insert(0, Pack(self.images))
