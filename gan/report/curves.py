"""Curves of logged numbers and scores, as the page's script draws them: panels, and the points of each run."""

from typing import Any, NamedTuple

from gan.metrics.catalogue import PROTOCOL, metric_of
from gan.report.contents import Report
from gan.report.runs import RunFolder, is_number, thin_out

MAX_NUMBERS = 400_000  # in all curves of a page, about six bytes each
MAX_POINTS = 1000  # of a curve
LOGGED = {
    "discriminator/loss": "D's loss",
    "generator/loss": "G's loss",
    "discriminator/real": "D(x), on real data",
    "discriminator/fake": "D(G(z)), in D's step",
    "discriminator/gradient_norm": "Gradient norm of D",
    "generator/gradient_norm": "Gradient norm of G",
    "discriminator/lr": "Learning rate of D",
    "generator/lr": "Learning rate of G",
}
IN_TABLE_ONLY = ("step", "epoch", "seconds")
PROBABILITIES = ("discriminator/real", "discriminator/fake", "generator/fake")
MAIN = 5  # logged numbers that are shown at first, beside the headline score


class Panel(NamedTuple):
    """A plot of one number of all runs.

    Args:
        name: of the number in metrics.jsonl or scores.jsonl.
        limits: of the vertical axis; None for those of the data.
        baseline: the same number of real images.
        is_main: whether it is shown at first.
    """

    name: str
    title: str
    limits: tuple[float, float] | None
    baseline: float | None
    is_main: bool


def list_panels(report: Report) -> list[Panel]:
    """A panel for each number that any run has: the headline score, what LOGGED names, other scores and the rest."""
    logged = list(dict.fromkeys(name for run in report.runs for row in run.rows[-1:] for name in row))
    logged = sorted(logged, key=lambda name: [*LOGGED, name].index(name))
    scored = list(dict.fromkeys(name for run in report.runs for row in run.training_scores[-1:] for name in row))
    baselines = {column.name: value for column, value in report.real_data.items()}
    headline = report.headline.name if report.headline else None
    panels = [
        Panel(
            name,
            LOGGED.get(name, name),
            (0.0, 1.0) if name in PROBABILITIES else None,
            None,
            name in list(LOGGED)[:MAIN],
        )
        for name in logged
        if name not in IN_TABLE_ONLY
    ]
    scores = [
        Panel(name, name, None, baselines.get(name), name == headline)
        for name in sorted(scored, key=lambda name: name != headline)
        if name not in PROTOCOL and metric_of(name)
    ]
    return sorted([*scores, *panels], key=lambda panel: not panel.is_main)


def run_curves(run: RunFolder, panels: list[Panel], run_count: int) -> dict[str, Any]:
    """Steps, epochs and seconds of a run's logged rows, and for each panel the values, aligned with these rows.

    Scores have `[steps, values]` of their own. Values that are missing or not finite are null.
    """
    count = min(MAX_POINTS, max(20, MAX_NUMBERS // (run_count * (len(panels) + 3))))
    rows = thin_out(run.rows, count)
    scores = thin_out(run.training_scores, count)
    logged = {name: [shorten(row.get(name)) for row in rows] for name, *_ in panels}
    scored = {
        name: [(row["step"], shorten(row[name])) for row in scores if is_number(row.get(name))] for name, *_ in panels
    }
    return {
        "rows": {name: [shorten(row.get(name), 6) for row in rows] for name in IN_TABLE_ONLY},
        "logged": {name: values for name, values in logged.items() if any(value is not None for value in values)},
        "scored": {name: list(zip(*points, strict=True)) for name, points in scored.items() if points},
    }


def shorten(value: Any, digits: int = 4) -> float | None:
    """A number with a few significant digits; None for anything else."""
    if not is_number(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() else short
