"""Figures of a GAN of points in one, two or three dimensions, in place of its sample grids.

All figures of a run have the same size and, if they are drawn with the same real points, the same axes, so that they
can be the frames of a GIF.
"""

import itertools
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gan.report.drawing import wrap
from gan.training.point_curves import draw_curves
from gan.training.point_drawing import (
    BLUE,
    GRAY,
    ORANGE,
    WIDTH,
    DrawnDiscriminator,
    Function,
    draw_arrows,
    figure_style,
    save_figure,
)

SHOWN_POINTS, PROJECTED = 20_000, 2000  # real ones: as many as an even density needs, and those drawn one by one
SIDE = 5.0  # of a square figure, in inches
CELLS, DENSITY_CELLS = 64, 128  # of the grids of D and of a density, along each axis
PROBABILITIES = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)  # level lines of D
ARROWS = 40  # of D's gradient, at most
DENSITY = LinearSegmentedColormap.from_list("density", ["white", "#a6cbe8"])
FAKE_TO_REAL = LinearSegmentedColormap.from_list("fake to real", ["#c65102", "0.45", "#11568c"])


def draw_points(
    path: Path,
    real: np.ndarray,
    generated: np.ndarray,
    noise: np.ndarray,
    logits: Function | None,
    gradients: Function | None,
    title: str,
    is_probability: bool = True,
) -> None:
    """Write a PNG of generated points and D, which depends on the dimension of the points.

    1: the densities of both kinds of points with D, and G as arrows from noise to points if its noise has one dimension
    (Goodfellow et al. 2014, figure 1). 2: generated points, the density of the real ones, D's level lines, and arrows
    along D's gradient, whose lengths are relative to the longest. 3: both kinds of points, seen along each axis.

    Args:
        real: real points (m, d), the same ones in all figures of a run. There may be none: then the axes vary.
        generated: generated points (n, d). Those that are not finite are left out and counted.
        noise: (n, z), of which they were generated.
        logits: D, from points (k, d) to (k,); None: it is not drawn.
        gradients: the gradient of D's logit for its points, from (k, d) to (k, d); None: it is not drawn.
        is_probability: whether the sigmoid of a logit is the probability of a real point, to be drawn in its place.

    Raises ValueError for points of another dimension.
    """
    dimensions, finite = real.shape[1], np.isfinite(generated).all(axis=1)
    shown, d = generated[finite], DrawnDiscriminator(logits, gradients, is_probability)
    limits = limits_of(real if len(real) else shown)
    with figure_style(title):
        if dimensions == 1:
            figure = Figure((WIDTH, SIDE))
            has_map = len(noise) > 0 and noise.shape[1] == 1
            axis = draw_curves(figure, limits, real, shown, noise[finite] if has_map else None, d)
        elif dimensions == 2:
            figure = Figure((SIDE, SIDE))
            axis = draw_plane(figure, limits, real, shown, d)
        elif dimensions == 3:
            figure = Figure((WIDTH, WIDTH / 3 + 0.6))
            axis = draw_projections(figure, limits, real, shown)
        else:
            raise ValueError(f"points of {dimensions} dimensions cannot be drawn")
        figure.suptitle(wrap(title, round(11 * figure.get_figwidth())), x=0.5, y=0.99, va="top", fontsize=8.5)
        text = axis.text(0.015, 0.985, remarks(generated, limits), transform=axis.transAxes, va="top", fontsize=7)
        text.set(color=GRAY, bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5})
        save_figure(figure, path)


def limits_of(points: np.ndarray) -> np.ndarray:
    """The lower and upper ends of the axes (2, d): equally long ones, around the points (n, d) and a margin."""
    if not len(points):
        return np.outer([-1.0, 1.0], np.ones(points.shape[1]))
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    half = 0.75 * (high - low).max() or 1.0
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half])


def remarks(generated: np.ndarray, limits: np.ndarray) -> str:
    """How many of the generated points are outside the axes, and how many are not finite."""
    finite = np.isfinite(generated).all(axis=1)
    outside = finite & ((generated < limits[0]) | (generated > limits[1])).any(axis=1)
    counts = {"outside": outside.sum(), "not finite": (~finite).sum()}
    return "\n".join(f"{count} of {len(finite)} points {name}" for name, count in counts.items() if count)


def draw_plane(
    figure: Figure, limits: np.ndarray, real: np.ndarray, generated: np.ndarray, d: DrawnDiscriminator
) -> Axes:
    """Draw points in a plane, over the density of the real ones and D."""
    from scipy.ndimage import gaussian_filter  # takes long to import, and runs on images draw no points

    axis = figure.add_axes((0.1, 0.09, 0.87, 0.84))
    (left, bottom), (right, top) = limits
    counts, _, _ = np.histogram2d(real[:, 0], real[:, 1], DENSITY_CELLS, [(left, right), (bottom, top)])
    shades, extent = np.sqrt(gaussian_filter(counts.T, 1.5)), (left, right, bottom, top)
    axis.imshow(shades, cmap=DENSITY, vmin=0, origin="lower", extent=extent, interpolation="bilinear")
    names = ["orange: generated"] * (len(generated) > 0) + ["blue: density of the real points"] * (len(real) > 0)
    if d.logits is not None:
        draw_levels(axis, limits, d)
        names.append("lines: D")
    axis.plot(*generated.T, "o", color=ORANGE, markersize=3, alpha=0.7, markeredgewidth=0.3, markeredgecolor="#a04000")
    if d.gradients is not None:
        draw_gradients(axis, limits, generated, d.gradients)
        names.append("arrows: gradient of D")
    set_limits(axis, limits)
    figure.text(0.5, 0.012, "; ".join(names), ha="center", fontsize=7, color=GRAY)
    return axis


def set_limits(axis: Axes, limits: np.ndarray) -> None:
    """Fix the limits (2, 2) of an axis that shows points of a plane."""
    axis.set(xlim=limits[:, 0], ylim=limits[:, 1])
    axis.grid(False)
    axis.tick_params(labelsize=7)


def draw_levels(axis: Axes, limits: np.ndarray, d: DrawnDiscriminator) -> None:
    """Draw level lines of D, from orange (fake) to blue (real)."""
    xs, ys = np.linspace(limits[0], limits[1], CELLS).T
    points = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    values = d.evaluate(points).reshape(CELLS, CELLS)
    known = values[np.isfinite(values)]
    low, high = known.min(initial=np.inf), known.max(initial=-np.inf)
    if low >= high:  # a constant, or NaN
        return
    candidates = PROBABILITIES if d.is_probability else MaxNLocator(8).tick_values(low, high)
    if levels := [level for level in candidates if low < level < high]:
        ends = (0, 1) if d.is_probability else (low, high)
        masked = np.ma.masked_invalid(values)
        lines = axis.contour(xs, ys, masked, levels, cmap=FAKE_TO_REAL, vmin=ends[0], vmax=ends[1], linewidths=0.9)
        axis.clabel(lines, fmt="%g", fontsize=6.5)


def draw_gradients(axis: Axes, limits: np.ndarray, generated: np.ndarray, gradients: Function) -> None:
    """Draw D's gradient at some of the generated points; the longest arrow is a ninth of an axis."""
    points = generated[((generated >= limits[0]) & (generated <= limits[1])).all(axis=1)][:ARROWS]
    arrows = np.asarray(gradients(points), dtype=float) if len(points) else np.zeros((0, 2))
    lengths = np.hypot(*arrows.T)
    drawn = np.isfinite(lengths) & (lengths > 0)
    if drawn.any():
        arrows = arrows[drawn] / lengths[drawn].max() * np.ptp(limits[:, 0]) / 9
        draw_arrows(axis, points[drawn], arrows, width=0.0025, color="0.15", zorder=3)


def draw_projections(figure: Figure, limits: np.ndarray, real: np.ndarray, generated: np.ndarray) -> Axes:
    """Draw points in space, seen along each axis."""
    panels = [figure.add_axes((0.065 + 0.325 * column, 0.2, 0.26, 0.65)) for column in range(3)]
    for panel, pair in zip(panels, itertools.combinations(range(3), 2), strict=True):
        for points, color in ((real[:PROJECTED], BLUE), (generated, ORANGE)):
            panel.plot(*points[:, pair].T, ".", color=color, markersize=2, alpha=0.4, markeredgewidth=0)
        set_limits(panel, limits[:, pair])
        panel.set(xlabel="xyz"[pair[0]], ylabel="xyz"[pair[1]])
    figure.text(0.5, 0.02, "blue: real points; orange: generated", ha="center", fontsize=7, color=GRAY)
    return panels[0]
