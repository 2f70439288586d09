"""Curves with matplotlib, for the figures of a run and those of a report. No state of pyplot is used."""

import io
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter

from gan.config.errors import printable
from gan.system import files, fonts

WIDTH, PANEL_HEIGHT, LINE_HEIGHT = 7.0, 2.3, 0.18  # of a figure, a panel, and a line of the legend; in inches
LINE_CHARACTERS = 96  # in the width of a figure, at the size of the legend's text
FAR = 20  # an axis becomes logarithmic where a value is so many times as large as nine in ten others
NAME_CHARACTERS = 30  # in the height of a panel
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # labels come from run folders, and a $ in them is a $
    "pdf.fonttype": 42,  # TrueType, so that text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "gan",  # else the ids in the file are random
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 8.5,
}
FEW = 10  # points of a curve that each have a mark
Linestyle = Literal["-", "--", ":"]
MARKERS: dict[Linestyle, str] = {"-": "o", "--": "s", ":": "^"}
NO_DATE = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


@dataclass(frozen=True)
class Curve:
    """A line.

    Args:
        ys: interrupted where one is not finite.
        spread: half the height of a band around the line at each point; empty: no band.
        has_diverged: whether it ends with a mark.
        width: of the line, in points.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: str
    linestyle: Linestyle = "-"
    spread: Sequence[float] = ()
    has_diverged: bool = False
    width: float = 1.1


@dataclass(frozen=True)
class Panel:
    """Curves in one pair of axes.

    Args:
        name: of the vertical axis.
        least: a range that is shown in any case.
        levels: heights of dashed lines, by their label.
        is_log: whether the axis is logarithmic, if all values are positive.
    """

    name: str
    curves: Sequence[Curve]
    least: tuple[float, float] | None = None
    levels: dict[str, float] = field(default_factory=dict)
    is_log: bool = False


def write_figure(panels: Sequence[Panel], x_name: str, paths: Sequence[Path], legend_title: str = "") -> None:
    """Write the panels, one above the other, to files in the format of their endings. Equal ones get equal bytes."""
    labels = {
        name: wrap(name) for panel in panels for name in (*(curve.label for curve in panel.curves), *panel.levels)
    }
    longest = max((len(line) for label in labels.values() for line in label.split("\n")), default=0)
    columns = max(1, min(len(labels), LINE_CHARACTERS // (longest + 7)))
    lines = sum(label.count("\n") + 1 for label in labels.values()) / columns + 2 * bool(legend_title)
    families = fonts.families([*labels, legend_title])
    with matplotlib.rc_context(STYLE | {"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # from all fonts of this machine
        figure = Figure((WIDTH, PANEL_HEIGHT * len(panels) + LINE_HEIGHT * (lines + 2)), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        handles: dict[str, Line2D] = {}
        for axis, panel in zip(axes, panels, strict=True):
            handles |= draw_panel(axis, panel)
        axes[-1].set_xlabel(x_name)
        figure.legend(
            list(handles.values()),
            [labels[name] for name in handles],
            loc="outside lower left",  # where it covers no curve
            ncols=columns,
            title=wrap(legend_title) if legend_title else "",
            alignment="left",
        )
        for path in paths:
            content, kind = io.BytesIO(), path.suffix[1:]
            figure.savefig(content, format=kind, dpi=110, metadata=NO_DATE[kind])
            with files.atomic_write(path, durable=False) as file:
                file.write(content.getvalue())


def wrap(text: str, width: int = LINE_CHARACTERS - 7) -> str:
    """A text in at most two lines of so many characters."""
    lines = textwrap.wrap(printable(text), width, max_lines=2, placeholder=" ...", break_on_hyphens=False)
    return "\n".join(lines) or "-"


def draw_panel(axis: Axes, panel: Panel) -> dict[str, Line2D]:
    """Draw a panel. Returns the first line of each label."""
    lines: dict[str, Line2D] = {}
    for curve in panel.curves:
        lines.setdefault(curve.label, draw_curve(axis, curve))
    lines |= {name: axis.axhline(y, color="gray", linestyle="--", linewidth=1) for name, y in panel.levels.items()}
    if panel.least:
        axis.update_datalim([(axis.dataLim.x0, limit) for limit in panel.least], updatex=False)
    values = np.array([*(y for curve in panel.curves for y in curve.ys), *panel.levels.values()], dtype=float)
    set_scale(axis, values[np.isfinite(values)], panel.is_log)
    axis.margins(x=0.02, y=0.05)
    axis.set_ylabel(wrap(panel.name, NAME_CHARACTERS))
    return lines


def set_scale(axis: Axes, values: np.ndarray, is_log: bool) -> None:
    """A logarithmic vertical axis if `is_log` and possible, or where a value is far from nearly all others."""
    typical = float(np.percentile(np.abs(values), 90)) if len(values) else 0.0
    if is_log and typical and values.min() > 0:
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    elif typical and np.abs(values).max() > FAR * typical:
        axis.set_yscale("symlog", linthresh=typical)
    else:
        return
    axis.yaxis.set_major_formatter("{x:g}")  # the usual one needs mathtext


def draw_curve(axis: Axes, curve: Curve) -> Line2D:
    """The line, its band, a mark at each of few points and of those without neighbors, and one where a run diverged."""
    xs, ys = np.asarray(curve.xs, dtype=float), np.asarray(curve.ys, dtype=float)
    is_finite = np.isfinite(ys)
    around = np.concatenate([[False], is_finite, [False]])
    is_marked = is_finite & (~around[:-2] & ~around[2:] | (len(xs) <= FEW))
    marker = MARKERS[curve.linestyle] if is_marked.any() else ""
    (line,) = axis.plot(xs, ys, color=curve.color, linestyle=curve.linestyle, linewidth=curve.width)
    line.set(marker=marker, markevery=is_marked.tolist(), markersize=3.5)
    if len(curve.spread):
        spread = np.asarray(curve.spread, dtype=float)
        axis.fill_between(xs, ys - spread, ys + spread, color=curve.color, alpha=0.2, linewidth=0)
    if curve.has_diverged and is_finite.any():
        x, y = xs[is_finite][-1], ys[is_finite][-1]
        axis.plot(x, y, "x", color=curve.color, markersize=7, markeredgewidth=2, zorder=3)
    return line
