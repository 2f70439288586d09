"""Residual networks without any normalisation (after R3GAN, Huang et al. 2024, section 3), made small."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gan.config.types import PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import layers

SMALLEST = 8  # a map of this side or less is not halved again
WIDEST = 4  # times `width`: what a layer has at most


def stages(image: ImageShape, width: int) -> tuple[list[int], list[int]]:
    """Sides of the maps from the image down, each half the one before, rounded up; and the channels of each.

    28 gives 28, 14, 7.
    """
    sides = [image.size]
    while sides[-1] > SMALLEST:
        sides.append(layers.halve(sides[-1]))
    return sides, [min(2**level, WIDEST) * width for level in range(len(sides))]


class Block(nn.Module):
    """a(x + f(x)), where `a` is the activation and f is two convolutions of 3x3 with another between.

    The last one begins at zero, so that the block begins as its activation alone and its depth costs nothing at first
    (Zhang et al. 2019b, section 3).
    """

    def __init__(self, channels: int, activation: layers.Activation) -> None:
        super().__init__()
        first, last = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.change = nn.Sequential(first, layers.activation_layer(activation), last)
        self.activation = layers.activation_layer(activation)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs + self.change(inputs))


def begin(network: nn.Module, last: nn.Linear | nn.Conv2d) -> None:
    """Draw first weights that keep what passes through the network at one size, however deep it is.

    Their variance is for a leaky ReLU behind each layer but the `last` (He et al. 2015, section 2.2); biases are 0.
    With torch's own, a sixth of that, what D says hardly depends on the image at first, nor the image on the noise.
    """
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, a=1.0 if module is last else 0.2)
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, Block):
            nn.init.zeros_(module.change[-1].weight)


class Resize(nn.Module):
    """Maps of `side` a side: means where they shrink, lines between neighbours where they grow."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, inputs: Tensor) -> Tensor:
        if self.side < inputs.shape[2]:
            return F.adaptive_avg_pool2d(inputs, self.side)
        return F.interpolate(inputs, size=self.side, mode="bilinear", antialias=False)


class Generator(layers.Painter):
    """A linear layer to the smallest map, then blocks, growing to the image.

    Args:
        width: channels of the map next to the image; each smaller map has twice as many, up to 4 times.
        blocks: at each size.
    """

    def __init__(
        self,
        image: ImageShape,
        noise_dim: int,
        *,
        width: PositiveInt,
        blocks: PositiveInt,
        activation: layers.Activation,
        output: layers.Output,
    ) -> None:
        sides, channels = (found[::-1] for found in stages(image, width))
        first = nn.Linear(noise_dim, channels[0] * sides[0] ** 2)
        found = [first, nn.Unflatten(1, (channels[0], sides[0], sides[0])), *row(blocks, channels[0], activation)]
        for (inputs, outputs), side in zip(pairwise(channels), sides[1:], strict=True):
            found += [nn.Conv2d(inputs, outputs, 1), Resize(side), *row(blocks, outputs, activation)]
        last = nn.Conv2d(channels[-1], image.channels, 3, padding=1)
        super().__init__([*found, last], output, "default", 1.0)
        begin(self, last)


class Discriminator(layers.Judge):
    """The generator's mirror: blocks, shrinking to the smallest map, and one linear layer.

    Args:
        width: channels of the map next to the image.
        blocks: at each size.
    """

    def __init__(
        self, image: ImageShape, *, width: PositiveInt, blocks: PositiveInt, activation: layers.Activation
    ) -> None:
        sides, channels = stages(image, width)
        found = [nn.Conv2d(image.channels, channels[0], 3, padding=1), *row(blocks, channels[0], activation)]
        for (inputs, outputs), side in zip(pairwise(channels), sides[1:], strict=True):
            found += [Resize(side), nn.Conv2d(inputs, outputs, 1), *row(blocks, outputs, activation)]
        logit = nn.Linear(channels[-1] * sides[-1] ** 2, 1)
        super().__init__([*found, nn.Flatten()], [logit], "default", 1.0)
        begin(self, logit)


def row(blocks: int, channels: int, activation: layers.Activation) -> list[nn.Module]:
    """So many blocks in a row."""
    return [Block(channels, activation) for _ in range(blocks)]
