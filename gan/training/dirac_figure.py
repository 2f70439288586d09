"""The figure of a Dirac-GAN: the path of a run over the game's vector field (Mescheder et al. 2018, figures 1 to 3)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from gan.report.drawing import wrap
from gan.training.dirac import TOLERANCE
from gan.training.point_drawing import BLUE, GRAY, ORANGE, WIDTH, figure_style, save_figure

HEIGHT = 4.6  # of the figure, in inches
TEXT_CHARACTERS = 33  # in a line beside the vector field
ARROWS = 21  # of the vector field, along each axis
SEGMENTS = 4000  # of the path, at most
FARTHEST = 5.0  # what is shown, in distances of the start from the equilibrium: a path may go to infinity


def draw_dirac(
    path: Path,
    trajectory: np.ndarray,
    field: Callable[[np.ndarray], np.ndarray],
    eigenvalues: np.ndarray | None,
    verdict: str,
    expected: str | None,
    title: str = "",
    why_none: str = "a step has no derivative at the equilibrium",
) -> None:
    """Write a PNG of a run's path, from light to dark, over the vector field, with eigenvalues in the unit circle.

    Args:
        trajectory: (theta, psi) at the start and after each step (T, 2).
        field: from points (theta, psi) of shape (k, 2) to their velocities (k, 2).
        eigenvalues: of a training step at the equilibrium (2,); None: it has none.
        verdict: what the path does.
        expected: what the theory says; None: nothing.
        why_none: why there are no eigenvalues, if so.
    """
    with figure_style(verdict, expected or "", title):
        figure = Figure((WIDTH, HEIGHT))
        axis = figure.add_axes((0.095, 0.115, 0.535, 0.535 * WIDTH / HEIGHT))
        draw_path(axis, trajectory, field)
        figure.legend(*axis.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.65, 0.875), fontsize=7.5)
        draw_eigenvalues(figure.add_axes((0.72, 0.29, 0.24, 0.24 * WIDTH / HEIGHT)), eigenvalues)
        figure.text(0.665, 0.945, wrap(title, TEXT_CHARACTERS) if title else "", va="top", fontsize=8)
        lines = [f"this run: {verdict}", f"theory: {expected or 'none for this game'}", describe(eigenvalues, why_none)]
        text = "\n".join(wrap(line, TEXT_CHARACTERS) for line in lines)
        figure.text(0.665, 0.225, text, va="top", fontsize=8, linespacing=1.4)
        save_figure(figure, path)


def draw_path(axis: Axes, trajectory: np.ndarray, field: Callable[[np.ndarray], np.ndarray]) -> None:
    """The path, its start and end, and the equilibrium, over the directions of the vector field."""
    known = trajectory[np.isfinite(trajectory).all(axis=1)]
    start = max(np.abs(known[:1]).max(initial=0), 0.1)
    limit = 1.15 * min(max(np.abs(known).max(initial=0), start), FARTHEST * start)
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="theta (generator)", ylabel="psi (discriminator)")
    axis.grid(False)

    ends = np.linspace(-limit, limit, ARROWS)
    points = np.stack(np.meshgrid(ends, ends), axis=-1).reshape(-1, 2)
    velocities = np.asarray(field(points), dtype=float)
    lengths = np.hypot(*velocities.T)
    moving = np.isfinite(lengths) & (lengths > 0)
    arrows = velocities[moving] / lengths[moving, None]
    axis.quiver(*points[moving].T, *arrows.T, pivot="mid", color="0.75", scale=1.4 * ARROWS, width=0.003)

    thinned = known[np.unique(np.linspace(0, len(known) - 1, SEGMENTS).astype(int))] if len(known) else known
    segments = np.stack([thinned[:-1], thinned[1:]], axis=1)
    line = LineCollection(list(segments), cmap="Blues", linewidths=1.2)
    line.set_array(np.linspace(0.35, 1, len(segments)))
    line.set_clim(0, 1)
    axis.add_collection(line, autolim=False)
    for point, marker, name in ((known[:1], "o", "start"), (known[-1:], "s", "end")):
        axis.plot(*point.T, marker, color=BLUE, markersize=6, markeredgecolor="white", label=name, zorder=3)
    axis.plot(0, 0, "+", color=ORANGE, markersize=10, markeredgewidth=2, label="equilibrium", zorder=3)


def draw_eigenvalues(axis: Axes, eigenvalues: np.ndarray | None) -> None:
    """Eigenvalues in the complex plane, with the unit circle, within which a step contracts."""
    shown = np.zeros(0) if eigenvalues is None else eigenvalues[np.isfinite(eigenvalues)]
    limit = max(1.25, 1.15 * np.abs(shown).max(initial=0))
    axis.add_patch(Circle((0, 0), 1, facecolor="0.94", edgecolor=GRAY, linewidth=0.8))
    axis.plot(shown.real, shown.imag, "o", color=BLUE, markersize=4.5)
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axis.set_title("eigenvalues of a step", fontsize=8.5)
    axis.tick_params(labelsize=7)


def describe(eigenvalues: np.ndarray | None, why_none: str) -> str:
    """Where the largest eigenvalue lies."""
    if eigenvalues is None or not np.isfinite(eigenvalues).all():
        return f"no eigenvalues: {why_none}"
    excess = float(np.abs(eigenvalues).max()) - 1
    if abs(excess) <= TOLERANCE:
        return "largest eigenvalue: on the circle"
    return f"largest eigenvalue: {abs(excess):.2g} {'inside' if excess < 0 else 'outside'}"
