"""Residual networks without normalization, small versions of those of R3GAN (Huang et al. 2024, section 3)."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gan.config.types import PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import base, fast_layers, layers

MIN_SIZE = 8  # a feature map of this size or less is not halved again
MAX_WIDTH_FACTOR = 4  # a layer has at most this many times `width` channels


def stages(image: ImageShape, width: int) -> tuple[list[int], list[int]]:
    """Sides and channels of the feature maps, from the image size down. 28 gives sides 28, 14, 7."""
    sides = [image.size]
    while sides[-1] > MIN_SIZE:
        sides.append(layers.halve(sides[-1]))
    return sides, [min(2**level, MAX_WIDTH_FACTOR) * width for level in range(len(sides))]


class ResidualBlock(nn.Module):
    """activation(x + f(x)), where f is two 3x3 convolutions with an activation between them.

    The second convolution starts at zero, so a block starts as its activation alone (Zhang et al. 2019b, section 3).
    """

    def __init__(self, channels: int, activation: layers.Activation) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.between = layers.activation_layer(activation)
        self.activation = layers.activation_layer(activation)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs + self.second(self.between(self.first(inputs))))


class Resize(nn.Module):
    """Feature maps resized to `side`: by average pooling to shrink, by bilinear interpolation to grow."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, inputs: Tensor) -> Tensor:
        if self.side < inputs.shape[2]:
            return F.adaptive_avg_pool2d(inputs, self.side)
        return F.interpolate(inputs, size=self.side, mode="bilinear", antialias=False)


class Generator(base.Generator):
    """A linear layer to the smallest feature map, then residual blocks, growing to the image.

    Args:
        width: channels of the feature map next to the image, doubled at each smaller size up to 4 times.
        blocks: at each size.
        attention: the largest feature map of at most this side has self-attention; null: none has.
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
        attention: PositiveInt | None = None,
    ) -> None:
        sides, channels = (values[::-1] for values in stages(image, width))
        attended = layers.attention_side("generator", attention, sides)
        modules = [
            fast_layers.Linear(noise_dim, channels[0] * sides[0] ** 2),
            nn.Unflatten(1, (channels[0], sides[0], sides[0])),
            *residual_blocks(blocks, channels[0], activation),
            *layers.self_attention(sides[0], attended, channels[0]),
        ]
        for (inputs, outputs), side in zip(pairwise(channels), sides[1:], strict=True):
            modules += [nn.Conv2d(inputs, outputs, 1), Resize(side), *residual_blocks(blocks, outputs, activation)]
            modules += layers.self_attention(side, attended, outputs)
        last = nn.Conv2d(channels[-1], image.channels, 3, padding=1)
        ending = layers.OUTPUTS[output]
        super().__init__(nn.Sequential(*modules, last, ending.layer()), pixel_range=ending.pixel_range)
        init_he(self, last)


class Discriminator(base.Discriminator):
    """The mirror of the generator: residual blocks, shrinking to the smallest feature map, and a linear layer.

    Args:
        width: channels of the feature map next to the image, doubled at each smaller size up to 4 times.
        blocks: at each size.
        attention: the largest feature map of at most this side has self-attention; null: none has.
    """

    def __init__(
        self,
        image: ImageShape,
        *,
        width: PositiveInt,
        blocks: PositiveInt,
        activation: layers.Activation,
        attention: PositiveInt | None = None,
    ) -> None:
        sides, channels = stages(image, width)
        attended = layers.attention_side("discriminator", attention, sides)
        modules = [
            nn.Conv2d(image.channels, channels[0], 3, padding=1),
            *residual_blocks(blocks, channels[0], activation),
            *layers.self_attention(sides[0], attended, channels[0]),
        ]
        for (inputs, outputs), side in zip(pairwise(channels), sides[1:], strict=True):
            modules += [Resize(side), nn.Conv2d(inputs, outputs, 1), *residual_blocks(blocks, outputs, activation)]
            modules += layers.self_attention(side, attended, outputs)
        logit = fast_layers.Linear(channels[-1] * sides[-1] ** 2, 1)
        super().__init__(nn.Sequential(*modules, nn.Flatten()), logit)
        init_he(self, logit)


def residual_blocks(count: int, channels: int, activation: layers.Activation) -> list[nn.Module]:
    """`count` residual blocks in a row."""
    return [ResidualBlock(channels, activation) for _ in range(count)]


def init_he(network: nn.Module, last: nn.Linear | nn.Conv2d) -> None:
    """Initialize for a leaky ReLU after each layer but the `last` (He et al. 2015, section 2.2), with zero biases.

    Torch's default has a sixth of this variance: at first, D's logits would hardly depend on the image, and G's
    images hardly on the noise.
    """
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, a=1.0 if module is last else 0.2)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.second.weight)
