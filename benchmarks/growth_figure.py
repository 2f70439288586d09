"""The figure of the curves of benchmarks/growth.py."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.growth import Axis, Curve

COLORS = {"mlp_plain": "tab:blue", "dcgan": "tab:orange"}
X_NAMES = {
    "batch": "batch",
    "width": "width",
    "side": "side, pixels",
    "images": "images in the dataset",
    "runs": "runs side by side",
}


def draw_growth(curves: list[Curve], path: Path) -> None:
    """Write a PNG: a column for each axis, time above memory, with dashed lines of the slope of the work."""
    names = list(dict.fromkeys(curve.axis.name for curve in curves))
    figure = Figure((11, 5.4), layout="constrained")
    panels = figure.subplots(2, len(names), sharex="col", sharey="row", squeeze=False)
    for (upper, lower), name in zip(panels.T, names, strict=True):
        for curve in (curve for curve in curves if curve.axis.name == name):
            microseconds = [1e6 * seconds for seconds in curve.seconds]
            draw_curve(upper, curve.axis, microseconds, curve.work)
            if curve.axis.memory_exponent is not None:
                held = [size**curve.axis.memory_exponent for size in curve.axis.sizes]
                draw_curve(lower, curve.axis, [size / 2**20 for size in curve.memory], held)
        lower.set_xlabel(X_NAMES[name])
        if not lower.lines:  # memory was not measured
            lower.set_visible(False)
            upper.set_xlabel(X_NAMES[name])
            upper.tick_params(labelbottom=True)
        label_sizes(upper, sorted({size for curve in curves if curve.axis.name == name for size in curve.axis.sizes}))
    panels[0, 0].set_ylabel("microseconds per image")
    panels[1, 0].set_ylabel("memory above the start, MiB")
    handles = {line.get_label(): line for panel in panels[0] for line in panel.lines}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path, dpi=100)


def draw_curve(panel: Axes, axis: Axis, values: list[float], work: Sequence[float]) -> None:
    """Draw the values, and a line of what is proportional to the work through the last of them."""
    panel.loglog(axis.sizes, values, "o-", color=COLORS[axis.model], label=axis.model, linewidth=1.6, markersize=4)
    proportional = [values[-1] * each / work[-1] for each in work]
    panel.loglog(axis.sizes, proportional, ":", color="gray", label="in proportion to the work", linewidth=1.2)
    panel.grid(alpha=0.3)


def label_sizes(panel: Axes, sizes: list[int]) -> None:
    """Label the sizes below a column of panels, or every second one of many."""
    panel.xaxis.set_major_locator(FixedLocator(sizes if len(sizes) < 6 else sizes[::2]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:g}" if size % 1000 else f"{size / 1000:g}k"))
