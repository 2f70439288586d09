"""Maxout networks (Goodfellow et al. 2013), and the variant of one tutorial."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gan.config.types import DropoutRate, PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import base, fast_layers, layers


class Maxout(nn.Module):
    """`units` outputs, each the maximum of `pieces` linear functions (Goodfellow et al. 2013, section 3)."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.pieces, self.units = pieces, units
        self.linear = fast_layers.Linear(inputs, units * pieces)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs).unflatten(1, (self.pieces, self.units)).amax(dim=1)


class Discriminator(base.Discriminator):
    """Maxout layers with dropout before each layer, and a linear layer to the logit (Goodfellow et al. 2014).

    Args:
        units: of each layer.
        pieces: linear functions per unit.
        input_dropout: dropout probability of the pixels.
        hidden_dropout: dropout probability of the inputs of the later layers.
    """

    def __init__(
        self,
        image: ImageShape,
        *,
        units: list[PositiveInt],
        pieces: PositiveInt,
        input_dropout: DropoutRate,
        hidden_dropout: DropoutRate,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        widths = [image.pixels, *units]
        modules = [nn.Flatten(), *layers.dropout(input_dropout)]
        for inputs, outputs in pairwise(widths):
            modules += [Maxout(inputs, outputs, pieces), *layers.dropout(hidden_dropout)]
        super().__init__(nn.Sequential(*modules), fast_layers.Linear(widths[-1], 1))
        layers.init_weights(self, init, init_scale)


class SharedLines(nn.Module):
    """An activation: the maximum of `pieces` lines w x + b, drawn from N(0, 1) and shared by all units of a layer.

    The tutorial "GAN(2) - 논문 구현" calls this maxout. Its lines were plain tensors that no optimizer updated.

    Args:
        trainable: false keeps the lines fixed, as in the tutorial.
    """

    def __init__(self, *, pieces: PositiveInt, trainable: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(pieces), requires_grad=trainable)
        self.biases = nn.Parameter(torch.randn(pieces), requires_grad=trainable)

    def forward(self, inputs: Tensor) -> Tensor:
        weights, biases = (values.view(-1, *[1] * inputs.dim()) for values in (self.weights, self.biases))
        return (inputs * weights + biases).max(dim=0).values
