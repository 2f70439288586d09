"""Virtual batch normalization of the generator."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan.config.errors import ConfigError
from gan.config.types import PositiveInt
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.models.layers import has_batch_norm
from gan.tricks.base import Trick, TrickContext


class VirtualBatchNormLayer(nn.Module):
    """Normalizes each input by the mean and variance of itself and of a reference batch, which comes before the others.

    The reference batch is normalized by its own statistics alone.

    Args:
        layer: the batch normalization that it replaces, whose weights it takes.
        reference_count: images in the reference batch.
    """

    def __init__(self, layer: _BatchNorm, reference_count: int) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.reference_count = layer.weight, layer.bias, layer.eps, reference_count

    def forward(self, inputs: Tensor) -> Tensor:
        values = inputs.float()
        maps = values.flatten(2) if values.dim() > 2 else values[..., None]
        own = torch.stack([maps.mean(2), maps.square().mean(2)])  # first and second moment of each input (2, B, C)
        reference = own[:, : self.reference_count].mean(1, keepdim=True)
        others = (self.reference_count * reference + own[:, self.reference_count :]) / (self.reference_count + 1)
        mean, square = torch.cat([reference.expand(-1, self.reference_count, -1), others], dim=1)
        scale = (square - mean.square()).clamp(min=0).add(self.eps).rsqrt()
        normalized = (maps - mean[..., None]) * scale[..., None]
        if self.weight is not None:
            normalized = normalized * self.weight[:, None] + self.bias[:, None]
        return normalized.view_as(values).to(inputs.dtype)


class VirtualBatchNorm(Trick):
    """BatchNorm in G is replaced by virtual batch normalization (Salimans et al. 2016, section 3.4).

    So an image depends on its own noise and on a reference batch of noise that is fixed at the start, and not on the
    other images of its batch. G generates the reference batch each time, which takes time; hence only G has it, as in
    the paper.

    Args:
        images: in the reference batch.
    """

    def __init__(self, *, images: PositiveInt = 32) -> None:
        self.images = images

    def check(self, context: TrickContext) -> None:
        if not has_batch_norm(context.generator):
            raise ConfigError(
                "trick=virtual_batch_norm replaces BatchNorm in the generator, and this one has none: choose "
                "model.generator.norm=batch, or model=dcgan or mlp."
            )

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        for parent in list(generator.modules()):
            for name, child in parent.named_children():
                if isinstance(child, _BatchNorm):
                    setattr(parent, name, VirtualBatchNormLayer(child, self.images))
        assert generator.noise is not None
        generator.register_buffer("reference_noise", generator.noise.sample(self.images, torch.default_generator))
        generator.register_forward_pre_hook(prepend_reference)
        generator.register_forward_hook(drop_reference)


def prepend_reference(generator: Generator, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The noise, and labels if there are any, with those of the reference batch before them."""
    noise, labels = (*inputs, None)[:2]
    reference = generator.get_buffer("reference_noise").to(noise.dtype)
    if labels is not None and generator.label_embedding is not None:
        classes = torch.arange(len(reference), device=labels.device) % generator.label_embedding.num_embeddings
        labels = torch.cat([classes, labels])
    return torch.cat([reference, noise]), labels


def drop_reference(generator: Generator, inputs: tuple[Any, ...], images: Tensor) -> Tensor:
    """The images without those of the reference batch."""
    return images[len(generator.get_buffer("reference_noise")) :]
