"""What every generator and discriminator offers. A network of your own subclasses these, or is any `nn.Module`."""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from gan.data.image_shape import PixelRange
from gan.noise import Noise


class Generator(nn.Module):
    """Noise (B, noise_dim) to images (B, C, H, W) or points (B, d).

    Args:
        layers: the network itself.
        pixel_range: lowest and highest value of a pixel; real images are scaled to it. None: it generates points.
    """

    uses_mean_image = False  # whether `start_from_mean_image` is called before training

    def __init__(self, layers: nn.Module, *, pixel_range: PixelRange = (-1.0, 1.0)) -> None:
        super().__init__()
        self.layers, self.pixel_range = layers, pixel_range
        self.label_embedding: nn.Embedding | None = None  # set by trick=conditional
        self.clusters: nn.Module | None = None  # set by trick=clusters
        self.codes: tuple[int, int] | None = None  # set by trick=infogan: categories, and continuous codes
        self.noise: Noise | None = None  # its input in this run, set when it is built

    @classmethod
    def wrap(cls, network: nn.Module) -> "Generator":
        """`network` if it is a Generator, else a Generator around it, with its `pixel_range` if it has one."""
        if isinstance(network, Generator):
            return network
        return Generator(network, pixel_range=getattr(network, "pixel_range", (-1.0, 1.0)))

    @property
    def class_count(self) -> int:
        """Number of classes that it is conditioned on; 0 for an unconditional generator, as after trick=clusters."""
        return self.label_embedding.num_embeddings if self.label_embedding and not self.clusters else 0

    def start_from_mean_image(self, mean: Tensor) -> None:
        """Set initial weights from the mean real image (C, H, W), whose values lie within `pixel_range`."""

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images for `noise`, of the classes `labels` (B,) if the generator is conditional."""
        if self.clusters is not None and labels is None:
            noise, labels = self.clusters(noise)
        if self.label_embedding is not None and labels is not None:
            noise = torch.cat([noise, self.label_embedding(labels)], dim=1)
        return self.layers(noise)


class Discriminator(nn.Module):
    """Images (B, C, H, W) or points (B, d) to logits (B,), in two parts.

    Args:
        features: from images to features (B, ...), which tricks such as feature_matching use.
        logit: from features to one logit per image, (B,) or (B, 1). It starts with a linear layer or a convolution.
    """

    def __init__(self, features: nn.Module, logit: nn.Module) -> None:
        super().__init__()
        self.features, self.logit = (
            part if isinstance(part, nn.Sequential) else nn.Sequential(part) for part in (features, logit)
        )
        first = next((layer for layer in self.logit.modules() if isinstance(layer, (nn.Linear, _ConvNd))), None)
        self.feature_count = first.weight[0].numel() if first else 0  # numbers per image; 0: it has no features
        self.label_projection: nn.Module | None = None  # set by trick=conditional and trick=clusters
        self.heads = nn.ModuleDict()  # from features, flattened, to what a trick lets D predict besides, by name

    @classmethod
    def wrap(cls, network: nn.Module) -> "Discriminator":
        """`network` if it is a Discriminator, else a Discriminator around it, without features."""
        return network if isinstance(network, Discriminator) else Discriminator(network, nn.Sequential())

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits for `images`, of the classes `labels` (B,) if the discriminator is conditional.

        The logit of a class is added as a projection of the features (Miyato and Koyama 2018, equation 3).
        """
        features = self.features(images)
        logits = self.logit(features).flatten()
        if self.label_projection is None or labels is None:
            return logits
        return logits + self.label_projection(features.flatten(1)).gather(1, labels[:, None]).flatten()

    def predict(self, head: str, images: Tensor) -> Tensor:
        """What one of `heads` says of `images`: (B, n)."""
        return self.heads[head](self.features(images).flatten(1))
