"""A small convolutional pair with max-pooling, after the tutorial "MNIST로 생성해보는 숫자 이미지"."""

from itertools import pairwise

from torch import nn

from gan.config.types import PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import base, fast_layers, layers


class Generator(base.Generator):
    """Two linear layers to a feature map of a quarter of the image size, two transposed convolutions, a convolution.

    No layer has a bias. Each layer but the last is followed by norm and activation.

    Args:
        hidden: width of the first layer.
        channels: of the feature maps at a quarter, half and all of the image size.
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
        first = fast_layers.Linear(noise_dim, hidden, bias=False)
        second = fast_layers.Linear(hidden, channels[0] * quarter**2, bias=False)
        modules = [
            *(first, *layers.batch_norm(norm, first), layers.activation_layer(activation)),
            *(second, *layers.batch_norm(norm, second), layers.activation_layer(activation)),
            nn.Unflatten(1, (channels[0], quarter, quarter)),
        ]
        for (inputs, outputs), side in zip(pairwise(channels), (half, image.size), strict=True):
            up = nn.ConvTranspose2d(inputs, outputs, layers.kernel_size(side), stride=2, padding=1, bias=False)
            modules += [up, *layers.batch_norm(norm, up), layers.activation_layer(activation)]
        last = nn.Conv2d(channels[-1], image.channels, 3, padding=1, bias=False)
        ending = layers.OUTPUTS[output]
        super().__init__(nn.Sequential(*modules, last, ending.layer()), pixel_range=ending.pixel_range)
        layers.init_weights(self, init, init_scale)


class Discriminator(base.Discriminator):
    """Blocks of 3x3 convolution, norm, activation and 2x2 max-pooling, then a linear layer. No layer has a bias.

    Args:
        channels: of each block. Small images use only the first blocks.
        norm_logit: BatchNorm on the logit, as in the tutorial. Real and fake images are separate batches, so both have
            logits of the same mean b. By Jensen's inequality the discriminator loss is then at least
            softplus(-b) + softplus(b) >= 2 log 2: D cannot learn to separate them.
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
        modules: list[nn.Module] = []
        inputs, side = image.channels, image.size
        for outputs in channels:
            if side < 4:  # convolution and pooling would leave nothing
                break
            convolution = nn.Conv2d(inputs, outputs, 3, bias=False)
            modules += [convolution, *layers.batch_norm(norm, convolution)]
            modules += [layers.activation_layer(activation), nn.MaxPool2d(2)]
            inputs, side = outputs, (side - 2) // 2
        logit = fast_layers.Linear(inputs * side**2, 1, bias=False)
        logit_norm = layers.batch_norm("batch" if norm_logit else "none", logit)
        super().__init__(nn.Sequential(*modules, nn.Flatten()), nn.Sequential(logit, *logit_norm))
        layers.init_weights(self, init, init_scale)
