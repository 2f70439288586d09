"""Bricks that several architectures share."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] | Callable[[], nn.Module]
Norm = Literal["none", "batch"]
Output = Literal["tanh", "tanh_unit", "sigmoid", "linear"]
Init = Literal["default", "normal", "uniform"]


class Ending(NamedTuple):
    """How a generator ends: its last layer, the range of real images beside it, and what undoes the layer.

    What it makes beyond that range is cut off when it is drawn.
    """

    layer: type[nn.Module]
    pixel_range: tuple[float, float]
    inverse: Callable[[Tensor], Tensor]


ENDINGS = {
    "tanh": Ending(nn.Tanh, (-1.0, 1.0), torch.atanh),
    "tanh_unit": Ending(nn.Tanh, (0.0, 1.0), torch.atanh),
    "sigmoid": Ending(nn.Sigmoid, (0.0, 1.0), torch.logit),
    "linear": Ending(nn.Identity, (-1.0, 1.0), torch.clone),
}


def activation_layer(activation: Activation) -> nn.Module:
    """A fresh activation layer: one of those with a name, or like what the configuration builds."""
    if isinstance(activation, nn.Module):
        return copy.deepcopy(activation)
    named = {
        "relu": nn.ReLU,
        "leaky_relu": partial(nn.LeakyReLU, 0.2),  # the slope of DCGAN (Radford et al. 2016, section 4)
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
    }
    return named[activation]() if isinstance(activation, str) else activation()


def batch_norm(norm: Norm, layer: nn.Module) -> list[nn.Module]:
    """Batch normalisation (Ioffe and Szegedy 2015) for what comes out of `layer`, or nothing."""
    if norm == "none":
        return []
    if isinstance(layer, nn.Linear):
        return [nn.BatchNorm1d(layer.out_features)]
    return [nn.BatchNorm2d(layer.out_channels)]


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) that costs a CPU little: torch's draws each decision alone.

    Here a random number of 64 bits makes four decisions. The probability is therefore a multiple of 2**-16, the
    nearest to `p`; what is kept is scaled by the inverse of exactly its share, so that the mean stays (in bfloat16
    that inverse is rounded like everything else).
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or inputs.device.type != "cpu" or self.p == 1:
            return super().forward(inputs)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        bits = torch.randint(-(2**63), 2**63 - 1, (-(-inputs.numel() // 4),)).view(torch.int16)
        drawn = bits[: inputs.numel()].view(inputs.shape)
        kept = torch.ge(drawn, dropped - 2**15, out=torch.empty_like(inputs, requires_grad=False))
        return inputs * kept.mul_(1 / (1 - dropped / 2**16))


def dropout(probability: float) -> list[nn.Module]:
    """Dropout, or nothing at 0: a layer that does nothing still costs a call."""
    return [Dropout(probability)] if probability > 0 else []


def init_weights(network: nn.Module, init: Init, scale: float) -> None:
    """Draw the weights of all linear and convolutional layers anew; biases become 0 with them.

    `default` leaves what torch drew. `normal` is N(0, scale), and BatchNorm's weights N(1, scale) as DCGAN has
    them (Radford et al. 2016, section 4, and its code). `uniform` is U(-scale, scale).
    """
    if init == "default":
        return
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and init == "normal":
            nn.init.normal_(module.weight, 1.0, scale)
            nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if init == "normal":
                nn.init.normal_(module.weight, 0.0, scale)
            else:
                nn.init.uniform_(module.weight, -scale, scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def mixes_images(network: nn.Module) -> bool:
    """Whether what the network says of one image depends on the others in its batch."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def halve(side: int) -> int:
    """Half of a side in pixels, rounded up."""
    return (side + 1) // 2


def kernel_size(larger: int) -> int:
    """The kernel that, with stride 2 and padding 1, leads from half of `larger`, rounded up, to it and back."""
    return 4 if larger % 2 == 0 else 3


class Painter(nn.Module):
    """A generator's layers in a row. Noise (B, noise_dim) in, images (B, C, H, W) for `pixel_range` out.

    Where `classes` is set, the labels (B,) choose rows of it that are put beside the noise.
    """

    starts_from_mean = False  # whether `start_from` wants to be called before training

    def __init__(self, found: list[nn.Module], output: Output, init: Init, init_scale: float) -> None:
        super().__init__()
        self.ending = ENDINGS[output]
        self.pixel_range = self.ending.pixel_range
        self.layers = nn.Sequential(*found, self.ending.layer())
        self.classes: nn.Embedding | None = None
        init_weights(self, init, init_scale)

    @property
    def class_count(self) -> int:
        """Kinds of images that it can be told to draw; 0 if it is told of none."""
        return self.classes.num_embeddings if self.classes else 0

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            noise = torch.cat([noise, self.classes(labels)], dim=1)
        return self.layers(noise)


class Judge(nn.Module):
    """A discriminator: `features` of images (B, C, H, W), and what `logit` makes of them (B,).

    Where `classes` is set, each label has a direction in the features that is asked for besides (Miyato and Koyama
    2018, equation 3). `feature_count` is how many numbers `logit` sees of a image.
    """

    def __init__(self, features: list[nn.Module], logit: list[nn.Module], init: Init, init_scale: float) -> None:
        super().__init__()
        self.features, self.logit = nn.Sequential(*features), nn.Sequential(*logit)
        self.feature_count = logit[0].weight[0].numel()
        self.classes: nn.Linear | None = None
        init_weights(self, init, init_scale)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.features(images)
        logits = self.logit(features).flatten()
        if labels is None:
            return logits
        return logits + self.classes(features.flatten(1)).gather(1, labels[:, None]).flatten()
