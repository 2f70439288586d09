"""Directions in the noise in which images change the most."""

import torch
from torch import Tensor

from gan import sampling
from gan.models.base import Generator
from gan.noise import Noise

DISTANCE = 0.5  # between two noise vectors whose images are compared


def principal_directions(generator: Generator, noise: Noise, points: Tensor, labels: Tensor | None) -> Tensor:
    """Unit vectors (noise_dim, noise_dim), sorted by how much images change along them, the most first.

    They are the eigenvectors of JᵀJ, averaged over `points` (n, noise_dim) of the classes `labels` (n,), where J is
    the derivative of the pixels with respect to the noise (Wang and Ponce 2021).
    """
    squares = torch.zeros(noise.dim, noise.dim, device=points.device)
    steps = DISTANCE * torch.eye(noise.dim, device=points.device)
    for index, point in enumerate(points):
        batch = torch.cat([point[None], noise.nearest(point + steps)])
        same = None if labels is None else labels[index].expand(len(batch))
        images = sampling.run_generator(generator, batch, same, len(batch)).flatten(1)
        changes = images[1:] - images[0]
        squares += changes @ changes.T
    directions = torch.linalg.eigh(squares.cpu().double()).eigenvectors.T.flip(0).float()
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * largest.sign()  # of the two opposite ones, always the same
