"""DCGAN (Radford et al. 2016), for any image size."""

from itertools import pairwise

from torch import nn

from gan.config.types import DropoutRate, PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import base, fast_layers, layers

MAX_WIDTH_FACTOR = 8  # a layer has at most this many times `width` channels, as in figure 1 of the paper


def feature_map_sizes(image: ImageShape) -> list[int]:
    """Sides of the feature maps, halved from the image size down to 4 or 3 and rounded up.

    64 gives 64, 32, 16, 8, 4: the published network. 28 gives 28, 14, 7, 4.
    """
    sides = [image.size]
    while sides[-1] > 4:
        sides.append(layers.halve(sides[-1]))
    return sides


class Generator(base.Generator):
    """A 4x4 feature map from the noise, then transposed convolutions that double its size up to the image.

    Args:
        width: channels of the feature map next to the image, doubled at each smaller size up to 8 times.
        norm: after every layer but the last.
        attention: the largest feature map of at most this side has self-attention; null: none has.
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
        attention: PositiveInt | None = None,
    ) -> None:
        sides = feature_map_sizes(image)[::-1]
        channels = [min(2**level, MAX_WIDTH_FACTOR) * width for level in range(len(sides) - 1)][::-1]
        bias = norm == "none"  # a norm layer has its own
        attended = layers.attention_side("generator", attention, sides[:-1])
        first = fast_layers.FromPixel(noise_dim, channels[0], sides[0], bias=bias)
        modules = [
            nn.Unflatten(1, (-1, 1, 1)),
            *(first, *layers.batch_norm(norm, first), layers.activation_layer(activation)),
            *layers.self_attention(sides[0], attended, channels[0]),
        ]
        for (inputs, outputs), side in zip(pairwise(channels), sides[1:-1], strict=True):
            up = nn.ConvTranspose2d(inputs, outputs, layers.kernel_size(side), stride=2, padding=1, bias=bias)
            modules += [*layers.dropout(dropout), up, *layers.batch_norm(norm, up)]
            modules += [layers.activation_layer(activation), *layers.self_attention(side, attended, outputs)]
        kernel = layers.kernel_size(sides[-1])
        last = fast_layers.ToGray(channels[-1], image.channels, kernel, stride=2, padding=1, bias=bias)
        ending = layers.OUTPUTS[output]
        super().__init__(nn.Sequential(*modules, last, ending.layer()), pixel_range=ending.pixel_range)
        layers.init_weights(self, init, init_scale)


class Discriminator(base.Discriminator):
    """The mirror of the generator: convolutions of stride 2 down to 4x4, then a 4x4 convolution to the logit.

    Args:
        width: channels of the first layer.
        norm: after every layer but the first and the last.
        attention: the largest feature map of at most this side has self-attention; null: none has.
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
        attention: PositiveInt | None = None,
    ) -> None:
        sides = feature_map_sizes(image)
        channels = [image.channels] + [min(2**level, MAX_WIDTH_FACTOR) * width for level in range(len(sides) - 1)]
        bias = norm == "none"
        attended = layers.attention_side("discriminator", attention, sides[1:])
        modules: list[nn.Module] = []
        for level, (inputs, outputs) in enumerate(pairwise(channels)):
            down = nn.Conv2d(inputs, outputs, layers.kernel_size(sides[level]), stride=2, padding=1, bias=bias)
            modules += [down, *layers.batch_norm(norm if level > 0 else "none", down)]
            modules += [layers.activation_layer(activation), *layers.dropout(dropout)]
            modules += layers.self_attention(sides[level + 1], attended, outputs)
        super().__init__(nn.Sequential(*modules), fast_layers.ToPixel(channels[-1], 1, sides[-1], bias=bias))
        layers.init_weights(self, init, init_scale)
