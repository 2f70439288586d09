"""Changes to the layers of a network that several tricks make."""

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd


def weight_layers(network: nn.Module) -> list[nn.Linear | _ConvNd]:
    """The linear and convolutional layers, in the order in which the network registered them."""
    return [module for module in network.modules() if isinstance(module, (nn.Linear, _ConvNd))]


def index_of_last_weight_layer(layers: nn.Sequential) -> int:
    """Index in `layers` of the last linear or convolutional layer."""
    return max(index for index, layer in enumerate(layers) if isinstance(layer, (nn.Linear, _ConvNd)))


def widen(layer: nn.Module, inputs: int) -> None:
    """Let a linear or convolutional `layer` take `inputs` more features or channels, after its own.

    The new weights are normal, with the root mean square of the old ones.
    """
    assert isinstance(layer, (nn.Linear, _ConvNd))
    old, axis = layer.weight.detach(), 0 if isinstance(layer, nn.ConvTranspose2d) else 1
    shape = [*old.shape[:axis], inputs, *old.shape[axis + 1 :]]
    layer.weight = nn.Parameter(torch.cat([old, torch.randn(shape) * old.square().mean().sqrt()], dim=axis))
    if isinstance(layer, nn.Linear):
        layer.in_features += inputs
    else:
        layer.in_channels += inputs


def append_features(features: Tensor, values: Tensor) -> Tensor:
    """`features` (B, n) or (B, n, H, W) with `values` (B, k) after them, as constant maps if they are maps."""
    if features.dim() == 4:
        values = values[:, :, None, None].expand(-1, -1, *features.shape[2:])
    return torch.cat([features, values.to(features.dtype)], dim=1)
