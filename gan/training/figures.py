"""The figures of one run, from its metrics.jsonl, scores.jsonl and status.json."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan.metrics.catalogue import PROTOCOL, direction, headline
from gan.report.drawing import Curve, Linestyle, Panel, write_figure
from gan.system import files, status

BLUE, ORANGE = "tab:blue", "tab:orange"
Row = dict[str, Any]


def plot_figures(folder: Path, undecided: float | None) -> None:
    """Draw figures/losses.png (D above G), predictions.png (D(x) and D(G(z)) in one), and scores.png of two scores.

    `undecided` is the prediction of a D that cannot tell real from fake; None where its logits say no such thing.
    """
    rows = files.read_rows(folder / "metrics.jsonl")
    losses = [
        curve(rows, "discriminator/loss", "discriminator's loss", BLUE),
        curve(rows, "discriminator/loss_real", "its term on real data", BLUE, "--"),
        curve(rows, "discriminator/loss_fake", "its term on fakes", BLUE, ":"),
        curve(rows, "generator/loss", "generator's loss", ORANGE),
    ]
    panels = [Panel("loss of D", logged(losses[:3])), Panel("loss of G", logged(losses[3:]))]
    write_figure(panels, "epoch", [folder / "figures" / "losses.png"])

    predictions = [
        curve(rows, "discriminator/real", "D(x), real data", BLUE),
        curve(rows, "discriminator/fake", "D(G(z)), fakes, in D's step", ORANGE),
        curve(rows, "generator/fake", "D(G(z)), in G's step", ORANGE, ":"),
    ]
    levels = {} if undecided is None else {"D cannot tell": undecided}
    panel = Panel("prediction", logged(predictions), (0, 1), levels)
    write_figure([panel], "epoch", [folder / "figures" / "predictions.png"])

    plot_scores(files.read_rows(folder / "scores.jsonl"), status.read(folder)["real_data"], folder / "figures")


def curve(rows: list[Row], name: str, label: str, color: str, linestyle: Linestyle = "-") -> Curve:
    """One number over the epochs, where it was logged; a gap where it was not finite."""
    numbered = [row for row in rows if isinstance(row.get("epoch"), (int, float)) and name in row]
    values = [math.nan if row[name] is None else row[name] for row in numbered]
    points = [(row["epoch"], y) for row, y in zip(numbered, values, strict=True) if isinstance(y, (int, float))]
    return Curve(label, [x for x, _ in points], [y for _, y in points], color, linestyle)


def logged(curves: Iterable[Curve]) -> list[Curve]:
    """Those with points, since not every loss has every term."""
    return [curve for curve in curves if curve.xs]


def plot_scores(rows: list[Row], real_data: Row, folder: Path) -> None:
    """Draw scores.png: the headline score over the steps, with the real-data baseline.

    Not where there is one score or none.
    """
    path = folder / "scores.png"
    path.unlink(missing_ok=True)  # of scores that were removed because the run went back to an earlier step
    found = headline(rows[-1]) if rows else None
    if found is None:
        return
    column, _ = found
    protocol = {name: rows[-1].get(name) for name in PROTOCOL}
    rows = [row for row in rows if protocol.items() <= row.items() and isinstance(row.get(column), (int, float))]
    if len(rows) < 2:
        return
    baseline = real_data.get(column) if protocol.items() <= real_data.items() else None
    levels = {"real data": baseline} if isinstance(baseline, (int, float)) else {}
    scores = Curve(column, [row["step"] for row in rows], [row[column] for row in rows], BLUE)
    write_figure([Panel(f"{column} ({direction(column)} is better)", [scores], None, levels, True)], "step", [path])
