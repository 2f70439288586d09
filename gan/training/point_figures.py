"""The figure of a run on points: generated points over real ones."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gan.system import files

BINS = 80  # of a histogram of numbers
MARGIN, MIN_MARGIN = 0.5, 2.0  # around the real points: a fraction of their range, and the least
Field = Callable[[np.ndarray], np.ndarray]  # of points (k, d)


def draw_points(
    path: Path,
    real: np.ndarray,
    generated: np.ndarray,
    noise: np.ndarray,
    logits: Field | None,
    gradients: Field | None,
    title: str,
) -> None:
    """Write a PNG: a histogram of numbers, or a scatter plot of the first two numbers of points.

    Args:
        real: float32 (m, d); there may be none.
        generated: float32 (n, d); there may be none.
        noise: float32 (n, noise_dim), of which they were generated.
        logits: the discriminator's logits (k,) of points (k, d); None where it compares points, or needs classes.
        gradients: of the logits, (k, d).
    """
    figure = Figure(figsize=(5, 5), dpi=80, layout="constrained")
    axes = figure.add_subplot(title=title)
    shown = real if len(real) else generated
    low, high = shown.min(axis=0), shown.max(axis=0)
    room = np.maximum(MARGIN * (high - low), MIN_MARGIN)
    axes.set_xlim(low[0] - room[0], high[0] + room[0])
    if shown.shape[1] == 1:
        for points, label in ((real, "real"), (generated, "generated")):
            axes.hist(points[:, 0], bins=BINS, range=axes.get_xlim(), density=bool(len(points)), alpha=0.5, label=label)
    else:
        axes.set_ylim(low[1] - room[1], high[1] + room[1])
        for points, label in ((real, "real"), (generated, "generated")):
            axes.scatter(points[:, 0], points[:, 1], s=4, label=label)
    axes.legend(loc="upper right")
    with files.atomic_write(path, durable=False) as file:
        figure.savefig(file, format="png")
