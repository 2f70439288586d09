"""Layers that several architectures share."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan.config.errors import ConfigError
from gan.data.image_shape import PixelRange

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] | Callable[[], nn.Module]
Norm = Literal["none", "batch"]
Output = Literal["tanh", "tanh_unit", "sigmoid", "linear", "points"]
Init = Literal["default", "normal", "uniform", "orthogonal"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),  # negative slope of DCGAN (Radford et al. 2016, section 4)
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class OutputLayer(NamedTuple):
    """The last layer of a generator, the range of real images (None: it generates points), and the layer's inverse.

    Generated pixels outside the range are clipped when images are saved.
    """

    layer: Callable[[], nn.Module]
    pixel_range: PixelRange
    inverse: Callable[[Tensor], Tensor]


OUTPUTS = {
    "tanh": OutputLayer(nn.Tanh, (-1.0, 1.0), torch.atanh),
    "tanh_unit": OutputLayer(nn.Tanh, (0.0, 1.0), torch.atanh),
    "sigmoid": OutputLayer(nn.Sigmoid, (0.0, 1.0), torch.logit),
    "linear": OutputLayer(nn.Identity, (-1.0, 1.0), torch.clone),
    "points": OutputLayer(nn.Identity, None, torch.clone),
}


def activation_layer(activation: Activation) -> nn.Module:
    """A new activation layer. Each layer gets its own copy of a module with parameters."""
    if isinstance(activation, nn.Module):
        return copy.deepcopy(activation)
    return ACTIVATIONS[activation]() if isinstance(activation, str) else activation()


def batch_norm(norm: Norm, layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """Batch normalization (Ioffe and Szegedy 2015) of the outputs of `layer`; empty for norm="none"."""
    if norm == "none":
        return []
    if isinstance(layer, nn.Linear):
        return [nn.BatchNorm1d(layer.out_features)]
    return [nn.BatchNorm2d(layer.out_channels)]


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) that is fast on a CPU: one 64-bit random number makes four decisions.

    The probability is therefore rounded to a multiple of 2**-16. Values that are kept are scaled by the inverse of
    exactly the fraction that is kept, so the mean is preserved (in bfloat16 up to rounding).
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or inputs.device.type != "cpu" or self.p == 1:
            return super().forward(inputs)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        bits = torch.randint(-(2**63), 2**63 - 1, (-(-inputs.numel() // 4),)).view(torch.int16)
        decisions = bits[: inputs.numel()].view(inputs.shape)
        mask = torch.ge(decisions, dropped - 2**15, out=torch.empty_like(inputs, requires_grad=False))
        return inputs * mask.mul_(1 / (1 - dropped / 2**16))


class SelfAttention(nn.Module):
    """Each place of a feature map (B, C, H, W) sees all the others (Zhang et al. 2019a, section 3).

    Queries, keys and values have C/8 channels. It starts as the identity, since gamma starts at 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 8, 1)
        self.query, self.key, self.value = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.output = nn.Conv2d(inner, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        query, key, value = (layer(inputs).flatten(2) for layer in (self.query, self.key, self.value))
        attention = (key.mT @ query).softmax(dim=1)  # (B, places, places); those of a column add up to 1
        seen = (value @ attention).unflatten(2, inputs.shape[2:])
        return inputs + self.gamma * self.output(seen)


def self_attention(side: int, attention: int | None, channels: int) -> list[nn.Module]:
    """Self-attention for feature maps of `side`, where that is `attention`; else empty."""
    return [SelfAttention(channels)] if side == attention else []


def attention_side(player: str, attention: int | None, sides: Sequence[int]) -> int | None:
    """The side of the feature maps with self-attention: the largest of `sides` that is at most `attention`.

    None without attention. Raises ConfigError where all sides are larger.

    Args:
        player: `generator` or `discriminator`.
    """
    if attention is None:
        return None
    if attention < min(sides):
        listed = ", ".join(map(str, sorted(sides)))
        raise ConfigError(
            f"model.{player}.attention={attention}: must be >= {min(sides)}; the feature maps have sides {listed}."
        )
    return max(side for side in sides if side <= attention)


def dropout(probability: float) -> list[nn.Module]:
    """A dropout layer; empty for probability 0, as a layer that does nothing still costs a call."""
    return [Dropout(probability)] if probability > 0 else []


def init_weights(network: nn.Module, init: Init, scale: float) -> None:
    """Initialize all linear and convolutional layers; their biases become 0.

    `default` keeps torch's initialization. `normal` is N(0, scale), with BatchNorm weights N(1, scale) as in DCGAN
    (Radford et al. 2016, section 4, and its code). `uniform` is U(-scale, scale). `orthogonal` has orthogonal rows or
    columns of length `scale` (Saxe et al. 2014).
    """
    if init == "default":
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm) and init == "normal":
            nn.init.normal_(module.weight, 1.0, scale)
            nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if init == "normal":
                nn.init.normal_(module.weight, 0.0, scale)
            elif init == "orthogonal":
                nn.init.orthogonal_(module.weight, scale)
            else:
                nn.init.uniform_(module.weight, -scale, scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def has_batch_norm(network: nn.Module) -> bool:
    """Whether there is BatchNorm, which makes the output for an image depend on the other images of its batch."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def halve(side: int) -> int:
    """Half of a side in pixels, rounded up."""
    return (side + 1) // 2


def kernel_size(larger: int) -> int:
    """Kernel that, with stride 2 and padding 1, maps a side `larger` to `halve(larger)` and back when transposed."""
    return 4 if larger % 2 == 0 else 3
