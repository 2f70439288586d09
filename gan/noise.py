"""What the generator draws images from."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gan.config.schema import NoiseKind


@dataclass(frozen=True)
class Noise:
    """Points of `dim` coordinates, each of mean 0 and variance 1 whatever the kind.

    `normal`: N(0, 1). `uniform`: U(-√3, √3), as in the authors' code of Goodfellow et al. 2014.
    `sphere`: uniform on the sphere of radius √dim, where nearly all of a normal cloud lies (White 2016).
    """

    kind: NoiseKind
    dim: int

    def draw(self, count: int, stream: torch.Generator, scale: float = 1.0) -> Tensor:
        """Returns (count, dim) on the stream's device; `scale` multiplies every coordinate."""
        shape, device = (count, self.dim), stream.device
        if self.kind == "uniform":
            unit = torch.rand(shape, generator=stream, device=device)
            return (2 * unit - 1) * (math.sqrt(3) * scale)
        points = torch.randn(shape, generator=stream, device=device)
        if self.kind == "sphere":
            points = points / points.norm(dim=1, keepdim=True) * math.sqrt(self.dim)
        return points * scale

    def walk(self, stops: Tensor, frames: int) -> Tensor:
        """A closed path through `stops` (n, dim), with `frames` points from each stop to the next.

        Uniform noise fills a box, so a straight line stays typical. A straight line between two normal
        points passes near the origin, where no noise ever fell: those follow the great circle (White 2016).
        Returns (n * frames, dim).
        """
        between = torch.linspace(0, 1, frames + 1, device=stops.device)[:-1].view(-1, 1)
        blend = torch.lerp if self.kind == "uniform" else great_circle
        legs = [blend(a[None], b[None], between) for a, b in zip(stops, stops.roll(-1, dims=0), strict=True)]
        return torch.cat(legs)


def great_circle(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation from `start` (1, dim) to `end` (1, dim), at `share` (n, 1) in [0, 1]."""
    cosine = torch.cosine_similarity(start, end).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle.sin().abs() < 1e-4:  # the same or opposite directions: no one arc is right, a line is as good
        return torch.lerp(start, end, share)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)
