"""Fully connected networks, the GAN that most tutorials begin with."""

from itertools import pairwise

from torch import Tensor, nn

from gan.data import ImageShape
from gan.models import layers
from gan.ranges import PositiveFloat, PositiveInt, Probability


class Generator(nn.Module):
    """Linear layers, each followed by norm, activation and dropout, and one to the pixels.

    Args:
        hidden: width of each hidden layer, from the noise on.
    """

    def __init__(
        self,
        image: ImageShape,
        noise_dim: int,
        *,
        hidden: list[PositiveInt],
        activation: layers.Activation,
        norm: layers.Norm,
        dropout: Probability,
        output: layers.Output,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        super().__init__()
        squash, self.pixel_range = layers.squash(output)
        body = stack([noise_dim, *hidden], activation, norm, dropout)
        shape = (image.channels, image.size, image.size)
        to_pixels = nn.Linear([noise_dim, *hidden][-1], image.pixels)
        self.layers = nn.Sequential(*body, to_pixels, squash, nn.Unflatten(1, shape))
        layers.initialise(self, init, init_scale)

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise)


class Discriminator(layers.Judge):
    """Linear layers, each followed by norm, activation and dropout, and one to the logit.

    Args:
        hidden: width of each hidden layer, from the pixels on.
    """

    def __init__(
        self,
        image: ImageShape,
        *,
        hidden: list[PositiveInt],
        activation: layers.Activation,
        norm: layers.Norm,
        dropout: Probability,
        init: layers.Init,
        init_scale: PositiveFloat,
    ) -> None:
        widths = [image.pixels, *hidden]
        super().__init__(nn.Flatten(), *stack(widths, activation, norm, dropout), nn.Linear(widths[-1], 1))
        layers.initialise(self, init, init_scale)


def stack(widths: list[int], activation: layers.Activation, norm: layers.Norm, dropout: float) -> list[nn.Module]:
    """The hidden layers from `widths[0]` inputs on."""
    found = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        found += [linear, *layers.batch_norm(norm, linear), activation(), *layers.drop(dropout)]
    return found
