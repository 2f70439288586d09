"""The figures of a report for a paper, as PDF and SVG: losses, predictions and scores of groups over the steps."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan.config.errors import ConfigError
from gan.metrics.catalogue import direction, headline, protocol_line
from gan.report.contents import is_headline
from gan.report.drawing import Curve, Panel, write_figure
from gan.report.groups import Group
from gan.report.runs import Column, RunFolder, is_number, thin_out
from gan.system import files

MAX_GROUPS = 10  # in a figure, which then has a color for each
MAX_POINTS = 400  # of a curve
COLORS = (  # M. A. Petroff's, which differ for most kinds of color vision and in gray
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
LOGGED = {
    "losses": {"loss of D": "discriminator/loss", "loss of G": "generator/loss"},
    "predictions": {"D(x), real data": "discriminator/real", "D(G(z)), generated": "discriminator/fake"},
}
FORMATS = ("pdf", "svg")
Point = tuple[int, float]  # step and value; NaN where it was not finite


def write_figures(groups: list[Group], out: Path) -> list[Path]:
    """Write figures/{losses,predictions,scores}.{pdf,svg} below `out`, those that have data, and return their paths.

    A curve is the mean over a group's seeds that finished, its band the standard deviation. The others have thin curves
    of the same color, with a mark at the end of one that diverged. The same runs give the same bytes.

    Raises ConfigError where `figures` is a link out of `out`, and OSError where the files cannot be written.
    """
    if files.leads_out(out / "figures", out):
        raise ConfigError(f"{out / 'figures'} is a link out of the folder of the report: not followed; remove it.")
    shown, legend_title = choose_groups(groups)
    panels = {
        name: [
            logged_panel(shown, title, tag, (0, 1) if name == "predictions" else None) for title, tag in tags.items()
        ]
        for name, tags in LOGGED.items()
    }
    panels["scores"] = [score_panel(shown)]
    written = []
    for name, of_figure in panels.items():
        if any(panel.curves for panel in of_figure):
            paths = [out / "figures" / f"{name}.{ending}" for ending in FORMATS]
            write_figure(of_figure, "step", paths, legend_title)
            written += paths
    return written


def choose_groups(groups: list[Group]) -> tuple[list[Group], str]:
    """At most MAX_GROUPS groups, the best ones by the score that most have, and a sentence about those left out."""
    if len(groups) <= MAX_GROUPS:
        return groups, ""
    columns = Counter(column for group in groups for column in group.results if is_headline(column))
    if not columns:
        return groups[:MAX_GROUPS], f"The first {MAX_GROUPS} of {len(groups)} groups"
    column = max(columns, key=lambda column: columns[column])
    scored = [(score.mean, number) for number, group in enumerate(groups) if (score := group.results.get(column))]
    best = sorted(scored, reverse=direction(column.name) == "higher")[:MAX_GROUPS]
    return [groups[number] for _, number in best], f"The best {len(best)} of {len(groups)} groups by {column.name}"


def logged_panel(groups: list[Group], title: str, tag: str, least: tuple[float, float] | None) -> Panel:
    """A logged number of the groups."""
    return Panel(title, list(draw_groups(groups, lambda run: read_points(run.rows, tag))), least)


def score_panel(groups: list[Group]) -> Panel:
    """The headline score during training, by the protocol of most rows, with the real-data baseline."""
    runs = [run for group in groups for run in group.counted]
    found = Counter(column for run in runs for row in run.training_scores if (column := score_column(row)))
    if not found:
        return Panel("", [])
    wanted = max(found, key=lambda column: found[column])
    baseline = next((run.real_data[wanted] for run in runs if wanted in run.real_data), None)

    def read(run: RunFolder) -> list[Point]:
        return read_points((row for row in run.training_scores if score_column(row) == wanted), wanted.name)

    levels = {} if baseline is None else {"real data": baseline}
    return Panel(
        f"{wanted.name} ({direction(wanted.name)} is better)", list(draw_groups(groups, read)), None, levels, True
    )


def score_column(row: dict[str, Any]) -> Column | None:
    """The column and protocol of the headline score in a row of scores.jsonl; None where it has none."""
    found = headline(row)
    return Column(found[0], protocol_line(row)) if found and is_number(found[1]) else None


def read_points(rows: Iterable[dict[str, Any]], name: str) -> list[Point]:
    """The values of a number in rows that have it."""
    return [(row["step"], row[name] if is_number(row[name]) else float("nan")) for row in rows if name in row]


def draw_groups(groups: list[Group], read: Callable[[RunFolder], list[Point]]) -> Iterator[Curve]:
    """The curves of each group that has points."""
    for group, color in zip(groups, COLORS, strict=False):
        label, points = group.name or group.label, [(run.status["state"], read(run)) for run in group.counted]
        if curve := mean_curve([of_run for state, of_run in points if state == "finished"], label, color):
            yield curve
        for state, of_run in points:
            if state != "finished" and of_run:
                steps, values = zip(*thin_out(of_run, MAX_POINTS), strict=True)
                yield Curve(label, steps, values, color, has_diverged=state == "diverged", width=0.8)


def mean_curve(runs: Sequence[list[Point]], label: str, color: str) -> Curve | None:
    """The mean over the points of runs, with its standard deviation; None where none is finite."""
    values: dict[int, list[float]] = {}
    for step, value in (point for points in runs for point in points):
        values.setdefault(step, []).extend([value] if np.isfinite(value) else [])
    if not any(values.values()):
        return None
    steps = thin_out(sorted(values), MAX_POINTS)
    means = [float(np.mean(values[step])) if values[step] else float("nan") for step in steps]
    with np.errstate(over="ignore"):
        spread = [float(np.std(values[step], ddof=1)) if len(values[step]) > 1 else 0.0 for step in steps]
    return Curve(label, steps, means, color, spread=np.nan_to_num(spread, posinf=0.0).tolist() if any(spread) else ())
