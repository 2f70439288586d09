"""What a run on points draws in place of a grid of images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan.system import randomness
from gan.training.point_figures import SHOWN_POINTS, draw_points
from gan.training.state import TrainingRun
from gan.tricks.base import Trick

Field = Callable[[np.ndarray], np.ndarray]  # of points (k, d)


def save_points(run: TrainingRun, generated: Tensor, noise: Tensor, path: Path) -> None:
    """Draw `generated` (n, d), of `noise` (n, noise_dim), over real points and what D says of every point."""
    logits, gradients = discriminator_fields(run)
    points, title = (real_points(run), to_array(generated), to_array(noise)), f"step {run.step:,}"
    draw_points(path, *points, logits, gradients, title, is_probability=run.loss.sigmoid_is_probability)


def save_real_points(run: TrainingRun, path: Path) -> None:
    """Draw real points alone."""
    real = real_points(run)
    none = np.empty((0, real.shape[1]), np.float32)
    draw_points(path, real, none, np.empty((0, run.noise.dim), np.float32), None, None, "real points")


def real_points(run: TrainingRun) -> np.ndarray:
    """At most SHOWN_POINTS of the real points float32 (m, d), the same in every figure of a run."""
    points = run.batches.images
    order = torch.randperm(len(points), generator=randomness.random_generator("cpu", run.settings.seed, "real"))
    return to_array(points[order[:SHOWN_POINTS].to(points.device)])


def discriminator_fields(run: TrainingRun) -> tuple[Field | None, Field | None]:
    """Functions from points (k, d) to D's logits (k,) and to their gradients (k, d), in eval mode.

    None where a logit depends on other points or on a class. They change nothing of the run.
    """
    if run.tricks.any("uses_labels") or any(map(compares_points, run.tricks.tricks)):
        return None, None
    network = run.players.discriminator.network

    def evaluate(points: np.ndarray, wants_gradient: bool) -> np.ndarray:
        inputs = torch.tensor(points, dtype=torch.float32, device=run.device, requires_grad=True)
        was_training = network.training
        network.eval()
        logits = network(inputs)
        network.train(was_training)
        return to_array(torch.autograd.grad(logits.sum(), inputs)[0] if wants_gradient else logits)

    return lambda points: evaluate(points, False), lambda points: evaluate(points, True)


def compares_points(trick: Trick) -> bool:
    """Whether a trick changes D so that it sees several points at once."""
    return trick.needs_whole_batch and type(trick).modify_networks is not Trick.modify_networks


def to_array(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
