"""Deep convolutional GAN (Radford et al. 2016), for any image size."""

from itertools import pairwise

from torch import nn

from gan.config.types import DropoutRate, PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import layers

WIDEST = 8  # times `width`: what a layer has at most, as in the paper's figure 1


def sizes(image: ImageShape) -> list[int]:
    """Sides of the feature maps from the image down to 4 pixels or 3, each half the one before, rounded up.

    64 gives 64, 32, 16, 8, 4: the published network. 28 gives 28, 14, 7, 4.
    """
    found = [image.size]
    while found[-1] > 4:
        found.append(layers.halve(found[-1]))
    return found


class Generator(layers.Painter):
    """Noise to a 4x4 map, then transposed convolutions that double it up to the image.

    Args:
        width: channels of the map next to the image; each smaller map has twice as many, up to 8 times.
        norm: on every layer but the last.
    """

    def __init__(
        self,
        image: ImageShape,
        noise_dim: int,
        *,
        width: PositiveInt,
        activation: layers.Activation,
        norm: layers.Norm,
        dropout: DropoutRate,
        output: layers.Output,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        sides = sizes(image)[::-1]
        channels = [min(2**level, WIDEST) * width for level in range(len(sides) - 1)][::-1]
        bias = norm == "none"  # a norm layer has its own
        first = nn.ConvTranspose2d(noise_dim, channels[0], sides[0], bias=bias)
        found = [
            nn.Unflatten(1, (-1, 1, 1)),
            first,
            *layers.batch_norm(norm, first),
            layers.activation_layer(activation),
        ]
        for (inputs, outputs), side in zip(pairwise(channels), sides[1:-1], strict=True):
            up = nn.ConvTranspose2d(inputs, outputs, layers.kernel_size(side), stride=2, padding=1, bias=bias)
            found += [*layers.dropout(dropout), up, *layers.batch_norm(norm, up), layers.activation_layer(activation)]
        last = nn.ConvTranspose2d(
            channels[-1], image.channels, layers.kernel_size(sides[-1]), stride=2, padding=1, bias=bias
        )
        super().__init__([*found, last], output, init, init_scale)


class Discriminator(layers.Judge):
    """The generator's mirror: convolutions of stride 2 down to 4x4, then one that sees all of it.

    Args:
        width: channels of the first layer.
        norm: on every layer but the first and the last.
    """

    def __init__(
        self,
        image: ImageShape,
        *,
        width: PositiveInt,
        activation: layers.Activation,
        norm: layers.Norm,
        dropout: DropoutRate,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        sides = sizes(image)
        channels = [image.channels] + [min(2**level, WIDEST) * width for level in range(len(sides) - 1)]
        bias = norm == "none"
        found = []
        for level, (inputs, outputs) in enumerate(pairwise(channels)):
            down = nn.Conv2d(inputs, outputs, layers.kernel_size(sides[level]), stride=2, padding=1, bias=bias)
            normed = layers.batch_norm(norm, down) if level > 0 else []
            found += [down, *normed, layers.activation_layer(activation), *layers.dropout(dropout)]
        super().__init__(found, [nn.Conv2d(channels[-1], 1, sides[-1], bias=bias)], init, init_scale)
