"""The noise that the generator maps to images."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gan.config.schema import NoiseKind


@dataclass(frozen=True)
class Noise:
    """Vectors of `dim` components with mean 0 and variance 1.

    `normal`: N(0, 1). `uniform`: U(-√3, √3), as in the authors' code of Goodfellow et al. 2014. `sphere`: uniform on
    the sphere of radius √dim, near which nearly all normal vectors lie (White 2016).
    """

    kind: NoiseKind
    dim: int

    def sample(self, count: int, generator: torch.Generator, scale: float = 1.0) -> Tensor:
        """Returns (count, dim) on the device of `generator`, multiplied by `scale`."""
        shape, device = (count, self.dim), generator.device
        if self.kind == "uniform":
            return (2 * torch.rand(shape, generator=generator, device=device) - 1) * (math.sqrt(3) * scale)
        points = torch.randn(shape, generator=generator, device=device)
        if self.kind == "sphere":
            points = points / points.norm(dim=1, keepdim=True) * math.sqrt(self.dim)
        return points * scale

    def nearest(self, points: Tensor) -> Tensor:
        """The points nearest to `points` (n, dim) that noise may take; of normal noise, nearly all may.

        The norm of a normal vector is at most √dim + 2 with a probability of 99.7%, whatever the dimension.
        """
        if self.kind == "uniform":
            return points.clamp(-math.sqrt(3), math.sqrt(3))
        norms = points.norm(dim=1, keepdim=True).clamp(min=1e-12)
        if self.kind == "sphere":
            return points / norms * math.sqrt(self.dim)
        return points * ((math.sqrt(self.dim) + 2) / norms).clamp(max=1)

    def interpolate(self, points: Tensor, frames: int) -> Tensor:
        """A closed path (n * frames, dim) through `points` (n, dim), with `frames` steps from each to the next.

        Linear for uniform noise, spherical otherwise: a straight line between two normal vectors passes near the
        origin, where G was never trained (White 2016).
        """
        fractions = torch.linspace(0, 1, frames + 1, device=points.device)[:-1].view(-1, 1)
        blend = torch.lerp if self.kind == "uniform" else slerp
        return torch.cat(
            [blend(a[None], b[None], fractions) for a, b in zip(points, points.roll(-1, dims=0), strict=True)]
        )


def slerp(start: Tensor, end: Tensor, fractions: Tensor) -> Tensor:
    """Spherical interpolation from `start` (1, dim) to `end` (1, dim), at `fractions` (n, 1) in [0, 1]."""
    angle = torch.arccos(torch.cosine_similarity(start, end).clamp(-1, 1))
    if angle.sin().abs() < 1e-4:  # the same or opposite directions
        return torch.lerp(start, end, fractions)
    return (torch.sin((1 - fractions) * angle) * start + torch.sin(fractions * angle) * end) / torch.sin(angle)
