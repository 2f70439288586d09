"""The networks of the Dirac-GAN, on which one can compute whether training converges (Mescheder et al. 2018)."""

import torch
from torch import Tensor, nn

from gan.data.image_shape import DataShape
from gan.models import base


class Constant(nn.Module):
    """The same point whatever the noise."""

    def __init__(self, point: Tensor) -> None:
        super().__init__()
        self.point = nn.Parameter(point)

    def forward(self, noise: Tensor) -> Tensor:
        # No view of the weight: with train.reuse_fakes D sees these points after G's update.
        return self.point * noise.new_ones(len(noise), 1)


class Generator(base.Generator):
    """G(z) = theta: one point, which is its only weight.

    Args:
        start: each number of the point before the first step.
    """

    def __init__(self, image: DataShape, noise_dim: int, *, start: float) -> None:
        super().__init__(Constant(torch.full(image.dims, start)), pixel_range=None)


class Discriminator(base.Discriminator):
    """D(x) = psi x, a linear function without bias, whose features are the points themselves.

    Args:
        start: each weight before the first step.
    """

    def __init__(self, image: DataShape, *, start: float) -> None:
        logit = nn.Linear(torch.Size(image.dims).numel(), 1, bias=False)
        nn.init.constant_(logit.weight, start)
        super().__init__(nn.Flatten(), logit)
