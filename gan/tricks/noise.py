"""Noise: on what D sees and is told, and within G."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.config.types import Fraction, PositiveFloat, PositiveInt
from gan.data.image_shape import ImageShape
from gan.tricks.base import Trick
from gan.tricks.layer_edits import weight_layers


class InstanceNoise(Trick):
    """Gaussian noise on all that D sees, so that real and fake overlap (Sønderby et al. 2017, section 3).

    Args:
        std: standard deviation at the first step, where images span 1 or 2 from black to white.
        fade_steps: after so many steps, down which it falls in a line, the noise is exactly zero.
    """

    def __init__(self, *, std: PositiveFloat, fade_steps: PositiveInt) -> None:
        self.first_std, self.fade_steps = std, fade_steps
        self.std = std

    def begin(self, step: int) -> None:
        self.std = self.first_std * max(0.0, 1 - step / self.fade_steps)

    def show(self, images: Tensor) -> Tensor:
        return images + self.std * torch.randn_like(images) if self.std > 0 else images


class NoisyLabels(Trick):
    """Now and then tells D that a real image and the fake beside it are the other way round (ganhacks 6).

    Args:
        probability: of that, for each pair. At 1/2 D could learn nothing.
    """

    def __init__(self, *, probability: Fraction) -> None:
        self.probability = probability

    def label(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        swapped = torch.rand_like(real) < self.probability
        return torch.where(swapped, fake, real), torch.where(swapped, real, fake)


class GeneratorNoise(Trick):
    """Gaussian noise on what goes into each of G's layers but the first, also when sampling (ganhacks 13).

    Args:
        std: of the noise, as a multiple of the standard deviation of the numbers that a image has there.
    """

    def __init__(self, *, std: PositiveFloat) -> None:
        self.std = std

    def prepare_generator(self, generator: nn.Module, image: ImageShape) -> None:
        std = self.std
        for layer in weight_layers(generator)[1:]:
            layer.register_forward_pre_hook(lambda _, inputs: with_noise(inputs[0], std))


def with_noise(inputs: Tensor, std: float) -> Tensor:
    """`inputs` (B, ...) with noise of `std` times each one's own standard deviation."""
    spread = inputs.detach().flatten(1).std(dim=1).view(-1, *[1] * (inputs.dim() - 1))
    return inputs + std * spread * torch.randn_like(inputs)


class GeneratorDropout(Trick):
    """Dropout of what goes into each of G's layers but the first, also when sampling (ganhacks 17; Isola et al. 2017).

    Args:
        probability: that a number is set to 0; what is kept is scaled up.
    """

    def __init__(self, *, probability: Fraction) -> None:
        self.probability = probability

    def prepare_generator(self, generator: nn.Module, image: ImageShape) -> None:
        probability = self.probability
        for layer in weight_layers(generator)[1:]:
            layer.register_forward_pre_hook(lambda _, inputs: F.dropout(inputs[0], probability))
