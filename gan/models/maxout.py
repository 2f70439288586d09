"""Maxout: units that are the largest of several lines (Goodfellow et al. 2013), and one tutorial's own kind."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gan.config.types import DropoutRate, PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.models import layers


class Maxout(nn.Module):
    """`units` outputs, each the largest of `pieces` linear functions (Goodfellow et al. 2013, section 3)."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.pieces, self.units = pieces, units
        self.lines = nn.Linear(inputs, units * pieces)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.lines(inputs).unflatten(1, (self.pieces, self.units)).amax(dim=1)


class Discriminator(layers.Judge):
    """Maxout layers with dropout before each, and one linear layer to the logit (Goodfellow et al. 2014).

    Args:
        units: of each layer, from the pixels on.
        input_dropout: probability that a pixel is set to 0; what is kept is scaled up.
        hidden_dropout: the same for each later layer's inputs.
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
        found = [nn.Flatten(), *layers.dropout(input_dropout)]
        for inputs, outputs in pairwise([image.pixels, *units]):
            found += [Maxout(inputs, outputs, pieces), *layers.dropout(hidden_dropout)]
        super().__init__(found, [nn.Linear([image.pixels, *units][-1], 1)], init, init_scale)


class SharedLines(nn.Module):
    """An activation: the largest of a few lines w x + b, one set of them for all units of a layer, drawn from N(0, 1).

    The tutorial "GAN(2) - 논문 구현" calls it maxout. There the lines were plain tensors that no optimiser saw.

    Args:
        trainable: false leaves them as they were drawn, which is how the tutorial ran.
    """

    def __init__(self, *, pieces: PositiveInt, trainable: bool) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.randn(pieces), requires_grad=trainable)
        self.offsets = nn.Parameter(torch.randn(pieces), requires_grad=trainable)

    def forward(self, inputs: Tensor) -> Tensor:
        slopes, offsets = (lines.view(-1, *[1] * inputs.dim()) for lines in (self.slopes, self.offsets))
        return (inputs * slopes + offsets).max(dim=0).values
