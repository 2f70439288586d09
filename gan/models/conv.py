"""A small convolutional pair with max-pooling, after the tutorial "MNIST로 생성해보는 숫자 이미지"."""

from itertools import pairwise

from torch import nn

from gan.config.types import PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import layers


class Generator(layers.Painter):
    """Two linear layers to a map of a quarter of the image's side, two transposed convolutions, one convolution.

    Nothing has a bias; each layer but the last is followed by norm and activation.

    Args:
        hidden: width of the first layer.
        channels: of the maps at a quarter, half and all of the image's side.
    """

    def __init__(
        self,
        image: ImageShape,
        noise_dim: int,
        *,
        hidden: PositiveInt,
        channels: tuple[PositiveInt, PositiveInt, PositiveInt],
        activation: layers.Activation,
        norm: layers.Norm,
        output: layers.Output,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        half = layers.halve(image.size)
        quarter = layers.halve(half)
        first = nn.Linear(noise_dim, hidden, bias=False)
        second = nn.Linear(hidden, channels[0] * quarter**2, bias=False)
        found = [
            *(first, *layers.batch_norm(norm, first), layers.activation_layer(activation)),
            *(second, *layers.batch_norm(norm, second), layers.activation_layer(activation)),
            nn.Unflatten(1, (channels[0], quarter, quarter)),
        ]
        for (inputs, outputs), side in zip(pairwise(channels), (half, image.size), strict=True):
            up = nn.ConvTranspose2d(inputs, outputs, layers.kernel_size(side), stride=2, padding=1, bias=False)
            found += [up, *layers.batch_norm(norm, up), layers.activation_layer(activation)]
        last = nn.Conv2d(channels[-1], image.channels, 3, padding=1, bias=False)
        super().__init__([*found, last], output, init, init_scale)


class Discriminator(layers.Judge):
    """Blocks of a 3x3 convolution, norm, activation and a maximum over 2x2, then one linear layer; nothing has a bias.

    Args:
        channels: of each block; a image too small for all of them goes through the first few.
        norm_logit: BatchNorm on the logit itself, as the tutorial has it. Real and fake images are batches of
            their own, whose logits then have one and the same mean b; by Jensen's inequality D's loss cannot
            fall below softplus(-b) + softplus(b), which is 2 log 2 at best: D never tells the two apart.
    """

    def __init__(
        self,
        image: ImageShape,
        *,
        channels: list[PositiveInt],
        activation: layers.Activation,
        norm: layers.Norm,
        norm_logit: bool,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        found, inputs, side = [], image.channels, image.size
        for outputs in channels:
            if side < 4:  # a convolution and a maximum would leave nothing
                break
            convolution = nn.Conv2d(inputs, outputs, 3, bias=False)
            found += [
                convolution,
                *layers.batch_norm(norm, convolution),
                layers.activation_layer(activation),
                nn.MaxPool2d(2),
            ]
            inputs, side = outputs, (side - 2) // 2
        logit = nn.Linear(inputs * side**2, 1, bias=False)
        normed = layers.batch_norm("batch", logit) if norm_logit else []
        super().__init__([*found, nn.Flatten()], [logit, *normed], init, init_scale)
