"""Fully connected networks, the GAN that most tutorials begin with."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import DropoutRate, PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import layers

Dropout = DropoutRate | list[DropoutRate]


class Generator(layers.Painter):
    """Linear layers, each followed by norm, activation and dropout, and one to the pixels.

    Args:
        hidden: width of each hidden layer, from the noise on.
        dropout: after each hidden layer, or a list with one probability for each.
        output_bias: `marginals` starts from the mean image of the data, as Goodfellow et al. 2014 did.
    """

    def __init__(
        self,
        image: ImageShape,
        noise_dim: int,
        *,
        hidden: list[PositiveInt],
        activation: layers.Activation,
        norm: layers.Norm,
        dropout: Dropout,
        output: layers.Output,
        output_bias: Literal["default", "marginals"],
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        widths = [noise_dim, *hidden]
        to_pixels = nn.Linear(widths[-1], image.pixels)
        image = nn.Unflatten(1, (image.channels, image.size, image.size))
        found = [*stack(widths, activation, norm, dropout), to_pixels, image]
        super().__init__(found, output, init, init_scale)
        self.starts_from_mean = output_bias == "marginals"

    @torch.no_grad()
    def start_from(self, mean: Tensor) -> None:
        """Set the output's bias so that, without any input, `mean` (C, H, W) within `pixel_range` comes out."""
        low, high = self.pixel_range
        inside = mean.flatten().clamp(low + 1e-7, high - 1e-7)
        self.layers[-3].bias.copy_(self.ending.inverse(inside))


class Discriminator(layers.Judge):
    """Linear layers, each followed by norm, activation and dropout, and one to the logit.

    Args:
        hidden: width of each hidden layer, from the pixels on.
        dropout: after each hidden layer, or a list with one probability for each.
    """

    def __init__(
        self,
        image: ImageShape,
        *,
        hidden: list[PositiveInt],
        activation: layers.Activation,
        norm: layers.Norm,
        dropout: Dropout,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        widths = [image.pixels, *hidden]
        found = [nn.Flatten(), *stack(widths, activation, norm, dropout)]
        super().__init__(found, [nn.Linear(widths[-1], 1)], init, init_scale)


def stack(widths: list[int], activation: layers.Activation, norm: layers.Norm, dropout: Dropout) -> list[nn.Module]:
    """The hidden layers from `widths[0]` inputs on. Raises ConfigError for a dropout list of another length."""
    hidden = list(pairwise(widths))
    drops = dropout if isinstance(dropout, list) else [dropout] * len(hidden)
    if len(drops) != len(hidden):
        raise ConfigError(
            f"dropout={drops} does not fit {len(hidden)} hidden layers: give one number, or one for each."
        )
    found = []
    for (inputs, outputs), probability in zip(hidden, drops, strict=True):
        linear = nn.Linear(inputs, outputs)
        found += [
            linear,
            *layers.batch_norm(norm, linear),
            layers.activation_layer(activation),
            *layers.dropout(probability),
        ]
    return found
