"""Fully connected networks."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import DropoutRate, PositiveFloat, PositiveInt
from gan.data.image_shape import DataShape
from gan.models import base, fast_layers, layers

Dropout = DropoutRate | list[DropoutRate]  # one probability for all hidden layers, or one for each


class Generator(base.Generator):
    """Hidden layers, each followed by norm, activation and dropout, and a linear layer to pixels, or to points.

    Args:
        hidden: width of each hidden layer.
        output_bias: `marginals` starts from the mean image of the data, as Goodfellow et al. 2014 did.
    """

    def __init__(
        self,
        image: DataShape,
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
        ending = layers.OUTPUTS[output]
        # before the hidden layers: initial weights depend on the order
        to_pixels = fast_layers.Linear(widths[-1], math.prod(image.dims))
        modules = [
            *hidden_layers(widths, activation, norm, dropout),
            to_pixels,
            nn.Unflatten(1, image.dims),
            ending.layer(),
        ]
        super().__init__(nn.Sequential(*modules), pixel_range=ending.pixel_range)
        layers.init_weights(self, init, init_scale)
        self.to_pre_activation = ending.inverse
        self.uses_mean_image = output_bias == "marginals"

    @torch.no_grad()
    def start_from_mean_image(self, mean: Tensor) -> None:
        """Set the output bias so that the output is `mean` where the last layer's input is 0."""
        assert self.pixel_range is not None  # the build checks it
        low, high = self.pixel_range
        *_, to_pixels = (module for module in self.modules() if isinstance(module, nn.Linear))
        to_pixels.bias.copy_(self.to_pre_activation(mean.flatten().clamp(low + 1e-7, high - 1e-7)))


class Discriminator(base.Discriminator):
    """Hidden layers, each followed by norm, activation and dropout, and a linear layer to the logit.

    Args:
        hidden: width of each hidden layer.
    """

    def __init__(
        self,
        image: DataShape,
        *,
        hidden: list[PositiveInt],
        activation: layers.Activation,
        norm: layers.Norm,
        dropout: Dropout,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        widths = [math.prod(image.dims), *hidden]
        features = nn.Sequential(nn.Flatten(), *hidden_layers(widths, activation, norm, dropout))
        super().__init__(features, fast_layers.Linear(widths[-1], 1))
        layers.init_weights(self, init, init_scale)


def hidden_layers(
    widths: list[int], activation: layers.Activation, norm: layers.Norm, dropout: Dropout
) -> list[nn.Module]:
    """Linear layers from `widths[0]` inputs to `widths[-1]` outputs, with norm, activation and dropout after each.

    Raises ConfigError for a list of dropout probabilities of another length.
    """
    sizes = list(pairwise(widths))
    probabilities = dropout if isinstance(dropout, list) else [dropout] * len(sizes)
    if len(probabilities) != len(sizes):
        raise ConfigError(f"dropout={probabilities}: must be a number, or one for each of {len(sizes)} hidden layers.")
    modules: list[nn.Module] = []
    for (inputs, outputs), probability in zip(sizes, probabilities, strict=True):
        linear = fast_layers.Linear(inputs, outputs)
        modules += [linear, *layers.batch_norm(norm, linear), layers.activation_layer(activation)]
        modules += layers.dropout(probability)
    return modules
