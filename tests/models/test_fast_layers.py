"""Layers that CPUs compute faster in another way."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan.models import fast_layers


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("layer", "arguments", "shape"),
    [
        (fast_layers.FromPixel, (5, 6, 4), (3, 5, 1, 1)),
        (fast_layers.FromPixel, (5, 6, 3), (3, 5, 1, 1)),
        (fast_layers.ToPixel, (6, 1, 4), (3, 6, 4, 4)),
        (fast_layers.ToPixel, (6, 2, 3), (3, 6, 3, 3)),
        (fast_layers.ToGray, (6, 1, 4, 2, 1), (3, 6, 7, 7)),
        (fast_layers.ToGray, (6, 1, 3, 2, 1), (3, 6, 4, 4)),
        (fast_layers.ToGray, (6, 3, 4, 2, 1), (3, 6, 7, 7)),
    ],
)
def test_a_layer_computed_as_a_product_is_the_convolution(layer, arguments, shape, memory_format, bias):
    fast = layer(*arguments, bias=bias).double().to(memory_format=memory_format)
    (plain,) = layer.__bases__
    slow = plain(*arguments, bias=bias).double()
    slow.load_state_dict(fast.state_dict())
    results = []
    for network in (fast, slow):
        inputs = torch.linspace(-1, 1, math.prod(shape)).double().reshape(shape).sin().requires_grad_(True)
        outputs = network(inputs.contiguous(memory_format=memory_format))
        (gradient,) = torch.autograd.grad(outputs.square().sum(), inputs, create_graph=True)
        gradient.square().sum().backward()  # as a gradient penalty does
        results.append([outputs, gradient, inputs.grad, *(weight.grad for weight in network.parameters())])
    for ours, torchs in zip(*results, strict=True):
        assert torch.allclose(ours, torchs, rtol=1e-10, atol=1e-10)


def test_a_generator_in_use_has_torchs_own_convolution(monkeypatch):
    """So that exported generators hold an operator that other programs know."""
    layer = fast_layers.ToGray(6, 1, 4, 2, 1).eval()
    monkeypatch.setattr(fast_layers.F, "fold", None)
    assert layer(torch.randn(2, 6, 7, 7)).shape == (2, 1, 14, 14)
    with pytest.raises(TypeError):
        layer.train()(torch.randn(2, 6, 7, 7))


@pytest.fixture
def onednn(monkeypatch):
    """The shapes of the products that oneDNN computes, which are all that it can."""
    shapes = []
    forward = fast_layers.Product.forward

    def record(ctx, left, right, bias):
        shapes.append((tuple(left.shape), tuple(right.shape)))
        return forward(ctx, left, right, bias)

    monkeypatch.setattr(fast_layers, "MIN_MULTIPLICATIONS", 0)
    monkeypatch.setattr(fast_layers.Product, "forward", staticmethod(record))
    if not fast_layers.HAS_ONEDNN:
        pytest.skip("this torch has no oneDNN")
    return shapes


@pytest.mark.parametrize("bias", [False, True])
def test_a_linear_layer_by_onednn_has_the_values_and_gradients_of_torchs(onednn, bias):
    fast, slow = fast_layers.Linear(6, 4, bias=bias), nn.Linear(6, 4, bias=bias)
    slow.load_state_dict(fast.state_dict())
    results = []
    for layer in (fast, slow):
        inputs = torch.linspace(-3, 3, 30).sin().reshape(5, 6).requires_grad_(True)
        outputs = layer(inputs)
        (gradient,) = torch.autograd.grad(outputs.pow(3).sum(), inputs, create_graph=True)
        gradient.square().sum().backward()  # as a gradient penalty does
        results.append([outputs, gradient, inputs.grad, *(weight.grad for weight in layer.parameters())])
    for ours, torchs in zip(*results, strict=True):
        assert torch.allclose(ours, torchs, rtol=1e-5, atol=1e-5)
    assert len(onednn) >= 5  # forward, backward, and the backward pass of the latter


def test_no_product_is_computed_for_a_gradient_that_nobody_wants(onednn):
    layer = fast_layers.Linear(6, 4)
    layer(torch.ones(5, 6)).sum().backward()
    assert onednn == [((5, 6), (4, 6)), ((4, 5), (6, 5))]  # the output, and the gradient of the weight
    onednn.clear()
    layer.requires_grad_(False)
    layer(torch.ones(5, 6, requires_grad=True)).sum().backward()
    assert onednn == [((5, 6), (4, 6)), ((5, 4), (6, 4))]  # the output, and the gradient of the inputs
    layer.requires_grad_(True)
    inputs = torch.ones(5, 6, requires_grad=True)
    outputs = layer(inputs).sum()
    for wanted, shapes in ((inputs, ((5, 4), (6, 4))), (layer.weight, ((4, 5), (6, 5)))):
        onednn.clear()
        outputs.backward(inputs=[wanted], retain_graph=True)
        assert onednn == [shapes]
        onednn.clear()
        torch.autograd.grad(outputs, wanted, retain_graph=True)
        assert onednn == [shapes]


@pytest.mark.parametrize(
    ("dtype", "shape", "autocast"),
    [(torch.float64, (5, 6), False), (torch.float32, (2, 5, 6), False), (torch.float32, (5, 6), True)],
)
def test_other_types_and_shapes_are_left_to_torch(onednn, dtype, shape, autocast):
    layer = fast_layers.Linear(6, 4).to(dtype)
    inputs = torch.ones(shape, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs = layer(inputs)
        assert torch.equal(outputs, F.linear(inputs, layer.weight, layer.bias))
    assert outputs.dtype == (torch.bfloat16 if autocast else dtype)
    assert not onednn


@pytest.mark.parametrize(
    "make",
    [lambda weights, bias: (weights, bias[:1].expand(4)), lambda weights, bias: (weights.T.contiguous().T, bias[::2])],
)
def test_tensors_of_any_strides_have_the_same_product(onednn, make):
    weights, bias = make(torch.randn(4, 6), torch.randn(8))
    inputs = torch.randn(6, 5).T
    assert torch.allclose(fast_layers.multiply(inputs, weights, bias), F.linear(inputs, weights, bias), atol=1e-5)
    assert onednn


def test_what_torch_func_transforms_is_left_to_torch(onednn):
    layer, inputs = fast_layers.Linear(6, 4), torch.randn(3, 5, 6)
    torch.testing.assert_close(torch.func.vmap(layer)(inputs), F.linear(inputs, layer.weight, layer.bias))
    torch.func.grad(lambda image: layer(image).sum())(inputs[0])
    torch.func.jvp(layer, (inputs[0],), (inputs[1],))
    assert not onednn


def test_small_products_are_left_to_torch(onednn, monkeypatch):
    monkeypatch.setattr(fast_layers, "MIN_MULTIPLICATIONS", 5 * 6 * 4)
    fast_layers.Linear(6, 3)(torch.ones(5, 6))
    assert not onednn
    fast_layers.Linear(6, 4)(torch.ones(5, 6))
    assert onednn


def test_a_compiled_or_exported_layer_has_torchs_own_product(onednn):
    """So that exported generators hold an operator that other programs know."""
    program = torch.export.export(fast_layers.Linear(6, 4), (torch.ones(5, 6),))
    assert torch.ops.aten.linear.default in [node.target for node in program.graph.nodes]
    traced = torch.jit.trace(fast_layers.Linear(6, 4).eval(), torch.ones(5, 6), check_trace=False)
    assert "aten::linear" in str(traced.inlined_graph)
    assert not onednn
