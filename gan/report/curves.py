"""Curves of logged numbers as SVG, one panel each: a line for the mean of each group, a band for its range."""

import math
from html import escape
from typing import NamedTuple

from gan.config.errors import printable
from gan.report.runs import Group, is_number, thin_out

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 8, 24
COLORS = ["#3b7dd8", "#e07b39", "#3a9e5c", "#c8456b", "#8a63c9", "#8c6d46", "#2aa3a3", "#b5a022", "#6b7785", "#d05fc0"]
MAX_POINTS = 400  # of a curve
DASHES = ["", "6 3", "2 3", "8 3 2 3"]  # from the eleventh curve on
PANELS = [
    ("D's loss", "discriminator/loss", None),
    ("G's loss", "generator/loss", None),
    ("D(x), on real images", "discriminator/real", (0.0, 1.0)),
    ("D(G(z)), on generated images", "discriminator/fake", (0.0, 1.0)),
]
Point = tuple[float, float, float, float]  # step, then mean, minimum and maximum over the runs of the group


class Curve(NamedTuple):
    label: str
    points: list[Point]


def draw_panels(groups: list[Group]) -> list[tuple[str, str]]:
    """Title and SVG of each panel that has data."""
    panels = []
    for title, tag, limits in PANELS:
        curves = [Curve(group.label, curve_points(group, tag)) for group in groups]
        if any(curve.points for curve in curves):
            panels.append((title, draw_panel(curves, limits)))
    return panels


def legend_entries(groups: list[Group]) -> list[tuple[str, str, str]]:
    """Label, color and dashes of each group's curve."""
    return [(group.label, *line_style(index)) for index, group in enumerate(groups)]


def line_style(index: int) -> tuple[str, str]:
    return COLORS[index % len(COLORS)], DASHES[index // len(COLORS) % len(DASHES)]


def curve_points(group: Group, tag: str) -> list[Point]:
    """A point for each step at which any of the group's runs logged a finite value."""
    values: dict[int, list[float]] = {}
    for run in group.counted:
        for row in run.rows:
            if is_number(row.get(tag)):
                values.setdefault(row["step"], []).append(row[tag])
    points = [(step, sum(at) / len(at), min(at), max(at)) for step, at in sorted(values.items())]
    return thin_out(points, MAX_POINTS)


def draw_panel(curves: list[Curve], limits: tuple[float, float] | None) -> str:
    """One panel. Without `limits` the vertical axis covers all but the most extreme 2 % of the points on each side."""
    last_step = max(point[0] for curve in curves for point in curve.points) or 1
    values = sorted(value for curve in curves for point in curve.points for value in point[2:])
    low, high = limits or (min(values[len(values) // 50], 0.0), values[-1 - len(values) // 50])
    high = high if high - low > 1e-300 else low + max(1.0, abs(low) / 2**20)

    def position(step: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last_step
        fraction = (min(max(value, low - (high - low)), high + (high - low)) - low) / (high - low)
        return f"{x:.1f},{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * fraction:.1f}"

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for value in round_ticks(low, high):
        y = position(0, value).partition(",")[2]
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y}" class="up">{value:g}</text>')
    for value in round_ticks(0, last_step):
        x = position(value, low).partition(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - 6}" class="along">{int(value):,}</text>')
    parts.append(f'<svg x="0" y="{TOP}" width="{WIDTH}" height="{HEIGHT - TOP - BOTTOM}" ')
    parts.append(f'viewBox="0 {TOP} {WIDTH} {HEIGHT - TOP - BOTTOM}">')  # clips what lies outside
    for index, (label, points) in enumerate(curves):
        color, dashes = line_style(index)
        if any(minimum < maximum for _, _, minimum, maximum in points):
            outline = [position(step, maximum) for step, _, _, maximum in points]
            outline += [position(step, minimum) for step, _, minimum, _ in reversed(points)]
            parts.append(f'<polygon points="{" ".join(outline)}" fill="{color}" class="band"/>')
        line = " ".join(position(step, mean) for step, mean, _, _ in points)
        parts.append(
            f'<polyline points="{line}" stroke="{color}" stroke-dasharray="{dashes}">'
            f"<title>{escape(printable(label))}</title></polyline>"
        )
    return "".join([*parts, "</svg></svg>"])


def round_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between the two."""
    least_step = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(least_step))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least_step)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]
