"""Maxout layers."""

import pytest
import torch

from gan.models.maxout import Maxout, SharedLines


def test_a_maxout_unit_is_the_maximum_of_its_pieces():
    layer = Maxout(7, 4, pieces=3)
    inputs = torch.randn(5, 7)
    pieces = inputs @ layer.linear.weight.T + layer.linear.bias
    for unit in range(4):
        assert torch.allclose(layer(inputs)[:, unit], pieces[:, unit::4].max(dim=1).values)


@pytest.mark.parametrize("trainable", [True, False])
def test_all_units_share_the_same_lines(trainable):
    lines = SharedLines(pieces=3, trainable=trainable)
    with torch.no_grad():
        lines.weights.copy_(torch.tensor([1.0, -1.0, 0.0]))
        lines.biases.copy_(torch.tensor([0.0, 0.0, 0.5]))
    inputs = torch.tensor([[-2.0, 0.1, 3.0]], requires_grad=True)
    assert lines(inputs).tolist() == [[2.0, 0.5, 3.0]]
    lines(inputs).sum().backward()
    assert inputs.grad.tolist() == [[-1.0, 0.0, 1.0]]
    assert (lines.weights.grad is not None) is trainable
    assert "weights" in lines.state_dict()  # so a checkpoint has them in both cases
