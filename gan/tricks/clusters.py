"""Clusters of similar training images as classes."""

import math
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan.config.errors import ConfigError
from gan.config.types import PositiveInt
from gan.data.clusters import cluster_images
from gan.data.datasets import ImageDataset
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.tricks.base import TrickContext
from gan.tricks.conditional import Conditional


class Clusters(Conditional):
    """Conditional on clusters of similar training images (Sage et al. 2018, section 3; Liu et al. 2020).

    In training it is `conditional` with clusters for classes. Otherwise G is unconditional: the cluster comes from the
    noise, each as often as in the training set.

    G is given the cluster as a vector of zeros and a one: its first layer learns a feature map for each, and on MNIST
    it is better for that than with an embedding.

    Args:
        count: of clusters.
    """

    name: ClassVar[str] = "clusters"

    def __init__(self, *, count: PositiveInt = 100) -> None:
        super().__init__(embedding_dim=count)
        self.count, self.frequencies = count, torch.full((count,), 1 / count)

    def check(self, context: TrickContext) -> None:
        if sum(trick.uses_labels for trick in context.tricks.tricks) > 1:
            raise ConfigError("trick=clusters does not go with trick=conditional: D's logit would have two classes.")
        if context.tricks.any("uses_noise"):
            raise ConfigError(
                "trick=clusters does not go with trick=infogan: both read the first numbers of the noise."
            )
        noise = context.generator.noise
        assert noise is not None
        if noise.kind == "uniform":
            raise ConfigError("trick=clusters does not go with noise.kind=uniform: choose normal or sphere.")
        if noise.dim < 2:
            raise ConfigError(f"trick=clusters with noise.dim={noise.dim}: must be >= 2.")
        self.check_networks(context)

    def label_images(self, dataset: ImageDataset) -> Tensor:
        if self.count > len(dataset):
            raise ConfigError(
                f"trick.clusters.count={self.count}: must be at most the dataset's {len(dataset)} images."
            )
        labels = cluster_images(dataset.images, self.count)
        self.frequencies = labels.bincount(minlength=self.count) / len(labels)
        return labels

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        super().modify_networks(generator, discriminator, replace(image, class_count=self.count, class_names=()))
        discriminator.label_projection = Directions(discriminator.feature_count, self.count)
        generator.label_embedding = nn.Embedding.from_pretrained(torch.eye(self.count))
        generator.clusters = ClusterOfNoise(self.frequencies)


class Directions(nn.Module):
    """A direction in D's features for each cluster, 0 at first: features (B, d) to (B, K).

    It is no linear layer, so that spectral_norm leaves it as it is. With a bound on all directions together, MNIST took
    twice as many steps.
    """

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, features))

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight)


class ClusterOfNoise(nn.Module):
    """The cluster that noise belongs to: that in whose sector the direction of its first two components lies.

    A cluster's sector is as large as its share of the training images. Directions are uniform for normal noise and on
    the sphere, whatever the truncation.

    Args:
        frequencies: of the clusters (K,), with the sum 1.
    """

    frequencies: Tensor

    def __init__(self, frequencies: Tensor) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies.clone())

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The noise (B, noise_dim), with its sector spread over all directions, and the clusters (B,).

        Within a cluster, noise so has the distribution that G was trained with.
        """
        first, second, others = noise[:, 0], noise[:, 1], noise[:, 2:]
        ends = self.frequencies.cumsum(0)
        turn = torch.atan2(second, first) / (2 * math.pi) + 0.5  # from 0 to 1
        turn = turn.clamp(max=1 - 1e-6) * ends[-1]  # less than the last end, since a cluster may be empty
        labels = (turn[:, None] >= ends[:-1]).sum(1)
        widths = self.frequencies[labels]
        turn = ((turn - ends[labels] + widths) / widths).clamp(0, 1)
        angle, radius = (turn - 0.5) * (2 * math.pi), (first**2 + second**2).sqrt()
        return torch.cat([(radius * angle.cos())[:, None], (radius * angle.sin())[:, None], others], dim=1), labels
