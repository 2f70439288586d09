"""Curves of several runs in one panel, as SVG: a line for each group, a band where its runs differ."""

import math
from html import escape
from typing import NamedTuple

from gan.report.runs import Group, thinned

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 8, 24
COLOURS = ["#3b7dd8", "#e07b39", "#3a9e5c", "#c8456b", "#8a63c9", "#8c6d46", "#2aa3a3", "#b5a022", "#6b7785", "#d05fc0"]
POINTS = 400  # of a curve, at most
DASHES = ["", "6 3", "2 3", "8 3 2 3"]  # for what comes after the tenth
PANELS = [
    ("D's loss", "discriminator/loss", None),
    ("G's loss", "generator/loss", None),
    ("D(x), on real images", "discriminator/real", (0.0, 1.0)),
    ("D(G(z)), on fakes", "discriminator/fake", (0.0, 1.0)),
]
Point = tuple[float, float, float, float]  # step, mean, least and greatest of the group's runs


class Curve(NamedTuple):
    label: str
    points: list[Point]


def panels(groups: list[Group]) -> list[tuple[str, str]]:
    """A title and an SVG for each number that was logged."""
    found = []
    for title, tag, limits in PANELS:
        curves = [Curve(group.label, points(group, tag)) for group in groups]
        if any(curve.points for curve in curves):
            found.append((title, panel(curves, limits)))
    return found


def legend(groups: list[Group]) -> list[tuple[str, str, str]]:
    """Label, colour and dashes of each group."""
    return [(group.label, *style(number)) for number, group in enumerate(groups)]


def style(number: int) -> tuple[str, str]:
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def points(group: Group, tag: str) -> list[Point]:
    """A number over the steps that any of the group's runs logged it at; a step at which it was not finite has none."""
    values: dict[int, list[float]] = {}
    for run in group.runs:
        for row in run.rows:
            if isinstance(row.get(tag), (int, float)):
                values.setdefault(row["step"], []).append(row[tag])
    found = [(step, sum(at) / len(at), min(at), max(at)) for step, at in sorted(values.items())]
    return thinned(found, POINTS)


def panel(curves: list[Curve], limits: tuple[float, float] | None) -> str:
    """Axes and lines. Without `limits` the height holds all but the wildest fiftieth of the points."""
    last = max(point[0] for curve in curves for point in curve.points) or 1
    heights = sorted(height for curve in curves for point in curve.points for height in point[2:])
    low, high = limits or (min(heights[len(heights) // 50], 0.0), heights[-1 - len(heights) // 50])
    high = high if high > low else low + 1

    def at(step: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
        share = (min(max(value, low - (high - low)), high + (high - low)) - low) / (high - low)
        return f"{x:.1f},{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share:.1f}"

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for value in ticks(low, high):
        y = at(0, value).partition(",")[2]
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y}" class="up">{value:g}</text>')
    for value in ticks(0, last):
        x = at(value, low).partition(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - 6}" class="along">{int(value):,}</text>')
    parts.append(f'<svg x="0" y="{TOP}" width="{WIDTH}" height="{HEIGHT - TOP - BOTTOM}" ')
    parts.append(f'viewBox="0 {TOP} {WIDTH} {HEIGHT - TOP - BOTTOM}">')  # what lies outside of it is cut off
    for number, (label, series) in enumerate(curves):
        colour, dashes = style(number)
        if any(least < greatest for _, _, least, greatest in series):
            around = [at(step, greatest) for step, _, _, greatest in series]
            around += [at(step, least) for step, _, least, _ in reversed(series)]
            parts.append(f'<polygon points="{" ".join(around)}" fill="{colour}" class="band"/>')
        line = " ".join(at(step, mean) for step, mean, _, _ in series)
        parts.append(
            f'<polyline points="{line}" stroke="{colour}" stroke-dasharray="{dashes}">'
            f"<title>{escape(label)}</title></polyline>"
        )
    return "".join([*parts, "</svg></svg>"])


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between the two."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]
