"""Layers that CPUs compute faster in another way, with the same weights and up to rounding the same result.

The factors are of an AMD EPYC, forward and backward, on one thread.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_MULTIPLICATIONS = 2**23  # of a product: below, a function of Python costs more than it saves
HAS_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    and hasattr(torch._C, "_will_engine_execute_node")
)


class Product(torch.autograd.Function):
    """`left` (n, k) times the transpose of `right` (m, k), plus `bias` (m,), by oneDNN.

    torch takes MKL for float32, whose rate on AMD's processors is half of oneDNN's. The operator is the one that
    torch.compile uses. It has no gradient of its own.
    """

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(left, right)
        bias = None if bias is None else bias.contiguous()  # it reads others as if they were
        return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of left, right and bias, those that are asked for. They can be differentiated again."""
        left, right = ctx.saved_tensors
        nodes = [node for node, _ in ctx.next_functions]  # of the inputs that are tensors
        needs_left, needs_right, needs_bias = map(is_asked_for, [*nodes, None][:3])
        return (
            multiply(gradient, right.T) if needs_left else None,
            multiply(gradient.T, left.T) if needs_right else None,
            gradient.sum(0) if needs_bias else None,
        )


def is_asked_for(node: Any) -> bool:
    """Whether this backward pass needs a gradient that goes on to `node`; None: the input has none.

    `ctx.needs_input_grad` does not say: G's update may go through a D whose weights require gradients, and
    want none of these.
    """
    if node is None:
        return False
    try:
        return torch._C._will_engine_execute_node(node)  # as torch.autograd.graph does
    except RuntimeError:  # a leaf that torch.autograd.grad asks for
        return True


def multiply(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear: `left` (n, k) times the transpose of `right` (m, k), plus `bias` (m,)."""
    if suits_onednn(left, right):
        return Product.apply(left, right, bias)
    return F.linear(left, right, bias)


def suits_onednn(left: Tensor, right: Tensor) -> bool:
    """Whether a product is of large float32 matrices on a CPU, which torch neither compiles, exports nor transforms."""
    return (
        HAS_ONEDNN
        and torch._C._functorch.maybe_current_level() is None  # torch.func: vmap, grad and others
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and left.dim() == 2
        and left.numel() * len(right) >= MIN_MULTIPLICATIONS
        and left.dtype == right.dtype == torch.float32
        and left.device.type == "cpu"
    )


class Linear(nn.Linear):
    """A linear layer: 1.3 to 2.7 times as fast."""

    def forward(self, inputs: Tensor) -> Tensor:
        return multiply(inputs, self.weight, self.bias)


class FromPixel(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel (B, C, 1, 1): one matrix product, 2.9 times as fast."""

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        weight = self.weight.permute(0, 2, 3, 1)  # as it lies in memory with channels_last
        maps = (inputs.flatten(1) @ weight.flatten(1)).unflatten(1, weight.shape[1:]).permute(0, 3, 1, 2)
        return maps if self.bias is None else maps + self.bias[:, None, None]


class ToPixel(nn.Conv2d):
    """A convolution whose kernel is as large as its inputs: one matrix product, 4 times as fast."""

    def forward(self, inputs: Tensor) -> Tensor:
        inputs, weight = (tensor.permute(0, 2, 3, 1).flatten(1) for tensor in (inputs, self.weight))
        return multiply(inputs, weight, self.bias)[:, :, None, None]


class ToGray(nn.ConvTranspose2d):
    """A transposed convolution to one channel, in training on a CPU as a product and a sum of its parts.

    1.6 times as fast; forward alone 3.6 times. With three channels it would be slower.
    """

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        if self.out_channels > 1 or not self.training or inputs.device.type != "cpu":
            return super().forward(inputs)
        (kernel, _), (stride, _), padding = self.kernel_size, self.stride, int(self.padding[0])
        side = (inputs.shape[2] - 1) * stride - 2 * padding + kernel
        parts = self.weight.flatten(1).T @ inputs.flatten(2)
        images = F.fold(parts, (side, side), kernel, padding=padding, stride=stride)
        return images if self.bias is None else images + self.bias[:, None, None]
