"""Planes of images that are generated beforehand, for a page about a generator that is too large for a page."""

import base64
import io

import torch
from torch import Tensor

from gan import sampling
from gan.config.errors import ConfigError
from gan.models.base import Generator
from gan.noise import Noise

CELLS, LIMIT = 9, 3.0  # images across a plane, and its edge in standard deviations, as in web/explorer.js


def draw_planes(
    generator: Generator, noise: Noise, starts: Tensor, labels: Tensor | None, directions: Tensor, limit: int
) -> list[str]:
    """For each of `starts` (n, noise_dim) a PNG of CELLS x CELLS images as base64, until they have `limit` bytes.

    The images are along the first two of `directions`; that of the start itself is in the middle.

    Args:
        labels: classes (n,), or clusters; None without.

    Raises ConfigError where the first one has more.
    """
    steps = torch.linspace(-LIMIT, LIMIT, CELLS, device=starts.device)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    directions = directions.to(starts.device)
    offsets = across.reshape(-1, 1) * directions[0] + down.reshape(-1, 1) * directions[min(1, len(directions) - 1)]
    planes: list[str] = []
    room = limit
    for index, start in enumerate(starts):
        same = None if labels is None else labels[index].expand(len(offsets))
        images = sampling.generate(generator, noise.nearest(start + offsets), same, len(offsets))
        file = io.BytesIO()
        sampling.image_grid(images, CELLS).save(file, format="png", optimize=True)
        planes.append(base64.b64encode(file.getvalue()).decode())
        room -= len(planes[-1])
        if room < 0:
            break
    if len(planes) == 1 and room < 0:
        raise ConfigError(
            f"format=explorer: its images of one seed have more than {limit / 1e6:.0f} MB; format=onnx writes a "
            "generator of any size."
        )
    return planes if room >= 0 else planes[:-1]
