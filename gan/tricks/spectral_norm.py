"""Spectral normalization of the discriminator."""

from typing import ClassVar

from torch.nn.utils.parametrizations import spectral_norm

from gan.config.errors import ConfigError
from gan.config.types import PositiveInt
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.tricks.base import Trick, TrickContext
from gan.tricks.layer_edits import weight_layers


class SpectralNorm(Trick):
    """Divides each weight matrix of D by its largest singular value (Miyato et al. 2018, section 2.1).

    The kernel of a convolution is taken as one matrix, as in the paper, which bounds the singular values of the
    convolution up to a factor. The largest singular value is estimated by power iteration.

    Args:
        power_iterations: in each forward pass.
    """

    enforces_lipschitz: ClassVar[bool] = True

    def __init__(self, *, power_iterations: PositiveInt = 1) -> None:
        self.power_iterations = power_iterations

    def check(self, context: TrickContext) -> None:
        if not all(layer.weight.any() for layer in weight_layers(context.discriminator)):
            raise ConfigError(
                "trick=spectral_norm cannot divide by a largest singular value of 0, with which this model initializes "
                "some layers: choose another model."
            )

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        for layer in weight_layers(discriminator):
            spectral_norm(layer, n_power_iterations=self.power_iterations)
