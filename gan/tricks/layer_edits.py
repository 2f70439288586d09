"""What several tricks do to a network's layers."""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


def weight_layers(network: nn.Module) -> list[nn.Module]:
    """The layers that are matrix products or convolutions, from the input on."""
    return [module for module in network.modules() if isinstance(module, (nn.Linear, _ConvNd))]


def last_weight_layer(layers: nn.Sequential) -> int:
    """The place in `layers` of the last that is itself a matrix product or convolution."""
    return max(place for place, layer in enumerate(layers) if isinstance(layer, (nn.Linear, _ConvNd)))


def widen(layer: nn.Module, inputs: int) -> None:
    """Let `layer` take so many more features or channels, after its own; new weights are drawn as large as the old."""
    old, side = layer.weight.detach(), 0 if isinstance(layer, nn.ConvTranspose2d) else 1
    shape = [*old.shape[:side], inputs, *old.shape[side + 1 :]]
    layer.weight = nn.Parameter(torch.cat([old, torch.randn(shape) * old.square().mean().sqrt()], dim=side))
    if isinstance(layer, nn.Linear):
        layer.in_features += inputs
    else:
        layer.in_channels += inputs


def append(features: Tensor, numbers: Tensor) -> Tensor:
    """`features` (B, n) or (B, n, H, W) with `numbers` (B, k) after them, as maps where they are maps."""
    if features.dim() == 4:
        numbers = numbers[:, :, None, None].expand(-1, -1, *features.shape[2:])
    return torch.cat([features, numbers.to(features.dtype)], dim=1)
