"""Curves with matplotlib, for the figures of a run and those of a report. No state of pyplot is used."""

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gan.config.errors import printable
from gan.system import files, fonts

WIDTH, PANEL_HEIGHT, LINE_HEIGHT = 7.0, 2.3, 0.18  # of a figure, a panel, and a line of the legend; in inches
LINE_CHARACTERS = 96  # in the width of a figure, at the size of the legend's text
FAR = 20  # an axis becomes logarithmic where a value is so many times as large as nine in ten others
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
FEW = 20  # points of a curve that each have a mark
Linestyle = Literal["-", "--", ":"]
MARKERS: dict[Linestyle, str] = {"-": "o", "--": "s", ":": "^"}
NO_DATE = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


@dataclass(frozen=True)
class Curve:
    """A line.

    Args:
        ys: interrupted where one is not finite.
        spread: half the height of a band around the line at each point; empty: no band.
        ends: points at which a run diverged.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: str
    linestyle: Linestyle = "-"
    spread: Sequence[float] = ()
    ends: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Panel:
    """Curves in one pair of axes.

    Args:
        name: of the vertical axis.
        least: a range that is shown in any case.
        levels: heights of dashed lines, by their label.
    """

    name: str
    curves: Sequence[Curve]
    least: tuple[float, float] | None = None
    levels: dict[str, float] = field(default_factory=dict)


def write_figure(panels: Sequence[Panel], x_name: str, paths: Sequence[Path], legend_title: str = "") -> None:
    """Write the panels, one above the other, to files in the format of their endings. Equal ones get equal bytes."""
    labels = {
        name: wrap(name) for panel in panels for name in (*(curve.label for curve in panel.curves), *panel.levels)
    }
    longest = max((len(line) for label in labels.values() for line in label.split("\n")), default=0)
    columns = max(1, min(len(labels), LINE_CHARACTERS // (longest + 7)))
    lines = sum(label.count("\n") + 1 for label in labels.values()) / columns + 2 * bool(legend_title)
    with matplotlib.rc_context(STYLE | {"font.family": fonts.families([*labels, legend_title])}):
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
            title=printable(legend_title),
            alignment="left",
        )
        for path in paths:
            content, kind = io.BytesIO(), path.suffix[1:]
            figure.savefig(content, format=kind, dpi=110, metadata=NO_DATE[kind])
            with files.atomic_write(path, durable=False) as file:
                file.write(content.getvalue())


def wrap(label: str) -> str:
    """A label in at most two lines of the legend."""
    lines = textwrap.wrap(
        printable(label), LINE_CHARACTERS - 7, max_lines=2, placeholder=" ...", break_on_hyphens=False
    )
    return "\n".join(lines) or "-"


def draw_panel(axis: Axes, panel: Panel) -> dict[str, Line2D]:
    """Draw a panel, with a logarithmic axis where little would be seen. Returns the lines by their label."""
    lines = {curve.label: draw_curve(axis, curve) for curve in panel.curves}
    lines |= {name: axis.axhline(y, color="gray", linestyle="--", linewidth=1) for name, y in panel.levels.items()}
    if panel.least:
        axis.update_datalim([(axis.dataLim.x0, limit) for limit in panel.least], updatex=False)
    sizes = np.abs([y for curve in panel.curves for y in curve.ys if math.isfinite(y)])
    typical = float(np.percentile(sizes, 90)) if len(sizes) else 0.0
    if typical and sizes.max() > FAR * typical:
        axis.set_yscale("symlog", linthresh=typical)
        axis.yaxis.set_major_formatter("{x:g}")
    axis.margins(x=0.02, y=0.05)
    axis.set_ylabel(printable(panel.name))
    return lines


def draw_curve(axis: Axes, curve: Curve) -> Line2D:
    """The line, its band, a mark at each of few points and of those without neighbors, and one where a run diverged."""
    xs, ys = np.asarray(curve.xs, dtype=float), np.asarray(curve.ys, dtype=float)
    is_drawn = np.concatenate([[False], np.isfinite(ys), [False]])
    is_marked = is_drawn[1:-1] & (~is_drawn[:-2] & ~is_drawn[2:] | (len(xs) <= FEW))
    marker = MARKERS[curve.linestyle] if is_marked.any() else ""
    (line,) = axis.plot(xs, ys, color=curve.color, linestyle=curve.linestyle, linewidth=1.1)
    line.set(marker=marker, markevery=is_marked.tolist(), markersize=3.5)
    if len(curve.spread):
        spread = np.asarray(curve.spread, dtype=float)
        axis.fill_between(xs, ys - spread, ys + spread, color=curve.color, alpha=0.2, linewidth=0)
    for x, y in curve.ends:
        axis.plot(x, y, "x", color=curve.color, markersize=7, markeredgewidth=2, zorder=3)
    return line
