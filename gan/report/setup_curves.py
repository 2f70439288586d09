"""The curves of a published set-up, drawn as its author drew them: the same panels for each seed, side by side."""

import io
import math
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gan.config.errors import printable
from gan.report.claim_files import Curves
from gan.report.runs import RunFolder, is_number

LINES: dict[str, tuple[str, str, Literal["-", ":"]]] = {  # label, color and style of each logged number
    "discriminator/loss": ("D's loss", "tab:blue", "-"),
    "generator/loss": ("G's loss", "tab:orange", "-"),
    "discriminator/loss_real": ("D's loss on real data", "tab:blue", "-"),
    "discriminator/loss_fake": ("D's loss on fake images", "tab:red", "-"),
    "discriminator/real": ("D(x)", "tab:green", "-"),
    "discriminator/fake": ("D(G(z)) in D's step", "tab:purple", "-"),
    "generator/fake": ("D(G(z)) in G's step", "tab:gray", ":"),
}
PREDICTIONS = ("discriminator/real", "discriminator/fake", "generator/fake")
WIDTH, DPI, COLUMNS = 9.0, 100, 5  # inches, dots per inch, seeds beside each other
LARGEST = 1e30  # of a drawn value; matplotlib squares some
FEW = 20  # points, which are marked
MARGIN = 0.04  # of the height, above and below the curves
COLORS = 128  # of the PNG
MAX_TITLE = 40  # characters


def draw_curves(plan: Curves, runs: dict[str, RunFolder]) -> bytes | None:
    """A PNG with a column of panels for each run, below its title; None where no run has logged any of the numbers."""
    figure = plot_curves(plan, runs)
    return encode(figure) if figure.legends else None


def plot_curves(plan: Curves, runs: dict[str, RunFolder]) -> Figure:
    """The panels of each run, and one legend below all of them, of what was logged."""
    panels = [*plan.panels, *plan.added]
    columns = min(len(runs), COLUMNS)
    rows = math.ceil(len(runs) / columns) * len(panels)
    height = 0.5 + rows * (2.2 if columns < 3 else 1.6)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (title, run) in enumerate(runs.items()):
        top, column = number // columns * len(panels), number % columns
        axes[top, column].set_title(plain(title).replace(", ", "\n"), fontsize="small", parse_math=False)
        for axis, names in zip(axes[top : top + len(panels), column], panels, strict=True):
            axis.set_axis_on()
            draw_panel(axis, run, names, plan.axis)
    for axis in axes[-1]:
        axis.set_xlabel(plan.axis, fontsize="small")
    axes[0, 0].set_xlim(left=0)
    lines = {line.get_label(): line for axis in axes.flat for line in axis.lines}
    if lines:
        figure.legend(
            handles=list(lines.values()), loc="outside lower center", ncols=5, fontsize="small", frameon=False
        )
    return figure


def draw_panel(axis: Axes, run: RunFolder, names: list[str], over: str) -> None:
    """The curves of some numbers of a run."""
    for name in names:
        label, color, style = LINES[name]
        if points := curve_points(run, name, over):
            marker = "." if len(points) < FEW else None
            xs, ys = zip(*points, strict=True)
            axis.plot(xs, ys, label=label, color=color, linestyle=style, linewidth=1, marker=marker, markersize=3)
    axis.tick_params(labelsize="x-small")
    axis.grid(alpha=0.3)
    if names[0] in PREDICTIONS:
        axis.set_ylim(-MARGIN, 1 + MARGIN)
    elif axis.dataLim.ymin >= 0:
        top = axis.dataLim.ymax or 1.0
        axis.set_ylim(-MARGIN * top, (1 + MARGIN) * top)
    if axis.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        axis.set_ylabel("D's output" if names[0] in PREDICTIONS else "loss", fontsize="small")


def curve_points(run: RunFolder, name: str, over: str) -> list[tuple[float, float]]:
    """The logged points: over epochs the last of each epoch, over steps all. NaN, a gap, where one was not finite."""
    rows = [row for row in run.rows if name in row]
    if over == "epoch":
        rows = list({math.ceil(round(row["epoch"], 3)): row for row in rows}.values())
    return [(row[over], value if drawable(value := row[name]) else math.nan) for row in rows if drawable(row[over])]


def drawable(value: object) -> bool:
    return is_number(value) and abs(value) < LARGEST


def plain(text: str) -> str:
    """Text that any font has, in one short line."""
    shown = printable(text).encode("ascii", "replace").decode()
    return shown if len(shown) <= MAX_TITLE else f"{shown[: MAX_TITLE - 3]}..."


def encode(figure: Figure) -> bytes:
    """The figure as a PNG of few colors."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    file = io.BytesIO()
    image.quantize(COLORS).save(file, format="png", optimize=True)
    return file.getvalue()
