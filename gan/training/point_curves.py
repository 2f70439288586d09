"""Points on a line as in figure 1 of Goodfellow et al. 2014: three curves, above the map from noise to points."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gan.training.point_drawing import BLUE, ORANGE, DrawnDiscriminator, draw_arrows

BINS, KERNEL = 400, 10  # of a density: bins of its histogram, and standard deviation of what smooths it, in bins
HEADROOM = 2.5  # height of the axis of densities, in heights of the real points' density
LINES = 25  # of the map from noise to points, at most


def draw_curves(
    figure: Figure,
    limits: np.ndarray,
    real: np.ndarray,
    generated: np.ndarray,
    noise: np.ndarray | None,
    d: DrawnDiscriminator,
) -> Axes:
    """Draw the densities of real points (m, 1) and generated ones (n, 1), D, and the map from noise (n, 1), if any."""
    axis = figure.add_axes((0.08, 0.1, 0.83, 0.77) if noise is None else (0.08, 0.34, 0.83, 0.53))
    edges = np.linspace(limits[0, 0], limits[1, 0], BINS + 1)
    xs = (edges[1:] + edges[:-1]) / 2
    heights = density(real if len(real) else generated, edges)
    axis.set(xlim=limits[:, 0], ylim=(0, HEADROOM * heights.max() or 1), ylabel="density")
    lines = []
    for points, label, color, style in ((real, "data", BLUE, ":"), (generated, "generated", ORANGE, "-")):
        if len(points):
            lines += axis.plot(xs, density(points, edges), style, color=color, linewidth=1.6, label=label)
    if d.logits is not None:
        values = d.evaluate(xs[:, None])
        other, name = axis.twinx(), "D" if d.is_probability else "D's logit"
        lines += other.plot(xs, values, "--", color="0.2", linewidth=1.1, label=name)
        bound = round_up(np.abs(values[np.isfinite(values)]).max(initial=0))
        other.set(ylim=(0, 1.03) if d.is_probability else (-bound, bound), ylabel=name)
        other.grid(False)
    names = [str(line.get_label()) for line in lines]
    figure.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, 0.95), ncols=3)
    if noise is not None:
        axis.tick_params(labelbottom=False)
        draw_map(figure.add_axes((0.08, 0.1, 0.83, 0.2)), limits, noise[:, 0], generated[:, 0])
    return axis


def density(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The density of points (n, 1) in the bins between `edges`, smoothed."""
    from scipy.ndimage import gaussian_filter1d  # takes long to import, and runs on images draw no points

    counts, _ = np.histogram(points, edges)
    return gaussian_filter1d(counts / (max(len(points), 1) * (edges[1] - edges[0])), KERNEL, mode="constant")


def round_up(value: float) -> float:
    """1, 2 or 5 times a power of 10 that is at least `value`, so that an axis seldom changes from figure to figure."""
    power = 10.0 ** np.floor(np.log10(value)) if value > 0 else 1.0
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value))


def draw_map(axis: Axes, limits: np.ndarray, noise: np.ndarray, generated: np.ndarray) -> None:
    """Draw G as arrows from noise (n,), on the lower edge, to points (n,), on the upper edge."""
    low, high = limits[:, 0]
    axis.set(xlim=(low, high), ylim=(0, 1), yticks=(0, 1), yticklabels=["z", "x"])
    axis.grid(False)
    if not len(noise):
        return
    order = np.argsort(noise)[np.unique(np.linspace(0, len(noise) - 1, LINES).round().astype(int))]
    starts = np.interp(noise[order], (noise.min(), max(noise.max(), noise.min() + 1e-6)), (low, high))
    arrows = np.stack([generated[order] - starts, np.ones(len(order))], axis=1)
    draw_arrows(axis, np.stack([starts, np.zeros(len(order))], axis=1), arrows, width=0.0018, headwidth=5, color=ORANGE)
