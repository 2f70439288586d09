"""Changes to the layers of a network."""

import pytest
import torch
from torch import nn

from gan.tricks.layer_edits import append_features, index_of_last_weight_layer, weight_layers, widen

LAYERS = [nn.Linear(6, 5), nn.Conv2d(6, 5, 3, padding=1), nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1)]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_a_widened_layer_has_the_same_output_where_the_new_features_are_zero(layer):
    inputs = torch.randn(2, 6) if isinstance(layer, nn.Linear) else torch.randn(2, 6, 4, 4)
    before = layer(inputs)
    widen(layer, 3)
    assert torch.allclose(layer(append_features(inputs, torch.zeros(2, 3))), before, atol=1e-6)
    assert not torch.allclose(layer(append_features(inputs, torch.ones(2, 3))), before, atol=1e-3)


def test_weight_layers_are_found_in_order():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2)), nn.Tanh())
    assert weight_layers(network) == [network[1], network[3][0]]
    assert index_of_last_weight_layer(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2), nn.Tanh())) == 1
