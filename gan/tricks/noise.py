"""Noise on D's inputs and within G."""

from collections.abc import Hashable

import torch
import torch.nn.functional as F
from torch import Tensor

from gan.config.types import Fraction, PositiveFloat, PositiveInt
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.tricks.base import Trick
from gan.tricks.layer_edits import weight_layers


class InstanceNoise(Trick):
    """Gaussian noise on real and fake images, decaying to zero (Sønderby et al. 2017, section 3).

    Args:
        std: standard deviation in the first step. Pixels span 2 (tanh, linear) or 1 (sigmoid, tanh_unit).
        fade_steps: steps until it has decayed linearly to zero.
    """

    def __init__(self, *, std: PositiveFloat = 0.1, fade_steps: PositiveInt = 2000) -> None:
        self.initial_std, self.fade_steps = std, fade_steps
        self.std = std

    def begin_step(self, step: int) -> None:
        self.std = self.initial_std * max(0.0, 1 - step / self.fade_steps)

    def graph_key(self) -> Hashable | None:
        return None if self.std > 0 else ()  # it changes in every step

    def augment(self, images: Tensor) -> Tensor:
        return images + self.std * torch.randn_like(images) if self.std > 0 else images


class GeneratorNoise(Trick):
    """Gaussian noise before each layer of G but the first, in training and in sampling (ganhacks 13).

    Args:
        std: standard deviation, as a multiple of that of the activations of each image.
    """

    def __init__(self, *, std: PositiveFloat = 0.1) -> None:
        self.std = std

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        std = self.std
        for layer in weight_layers(generator)[1:]:
            layer.register_forward_pre_hook(lambda _, inputs: add_noise(inputs[0], std))


def add_noise(inputs: Tensor, std: float) -> Tensor:
    """`inputs` (B, ...) with noise of `std` times the standard deviation of each of them."""
    input_std = inputs.detach().flatten(1).std(dim=1).view(-1, *[1] * (inputs.dim() - 1))
    return inputs + std * input_std * torch.randn_like(inputs)


class GeneratorDropout(Trick):
    """Dropout before each layer of G but the first, in training and in sampling (ganhacks 17; Isola et al. 2017).

    Args:
        probability: that a value is set to 0.
    """

    def __init__(self, *, probability: Fraction = 0.5) -> None:
        self.probability = probability

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        probability = self.probability
        for layer in weight_layers(generator)[1:]:
            layer.register_forward_pre_hook(lambda _, inputs: F.dropout(inputs[0], probability))
