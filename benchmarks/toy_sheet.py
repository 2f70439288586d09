"""Losses and tricks on points: the tables of docs/toy_sheet.md, from the runs of its sweeps.

    python -m benchmarks.toy_sheet outputs/toy_sheet --csv docs/results/toy_sheet.csv

Prints Markdown: a table for each dataset, with modes, high quality and KL divergence as means over the seeds.
"""

import argparse
import csv
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gan.config.errors import ConfigError
from gan.report.runs import Column, RunFolder, find_runs

TRICKS = ("none", "instance_noise", "r1", "wgan_gp", "spectral_norm", "packing", "unrolled")
SCORES = ("modes_found", "high_quality", "mode_kl", "wasserstein")
DIGITS = 4


class Row(NamedTuple):
    """A run: what was swept, what became of it, and its last scores, None where it has none."""

    dataset: str
    loss: str
    trick: str
    seed: int
    state: str
    seconds: float
    modes_found: float | None
    high_quality: float | None
    mode_kl: float | None
    wasserstein: float | None


def read_row(run: RunFolder) -> Row:
    """The row of one run. Its seconds are those of its steps."""
    scores = [run.results.get(Column(name, run.protocol)) for name in SCORES]
    return Row(
        run.setting("dataset"),
        run.setting("loss"),
        run.setting("trick").strip("[]") or "none",
        int(run.seed),
        run.status["state"],
        round(run.status["seconds"], 1),
        *(None if score is None else round(score, DIGITS) for score in scores),
    )


def table_lines(rows: Sequence[Row], dataset: str) -> list[str]:
    """The Markdown table of a dataset: a row for each loss, a column for each trick."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.dataset == dataset:
            cells.setdefault((row.loss, row.trick), []).append(row)
    there = {trick for _, trick in cells}
    tricks = [trick for trick in TRICKS if trick in there] + sorted(there.difference(TRICKS))
    lines = [f"| `dataset={dataset}` | {' | '.join(tricks)} |", "|---" * (len(tricks) + 1) + "|"]
    for loss in sorted({loss for loss, _ in cells}):
        lines.append(f"| `{loss}` | {' | '.join(cell_text(cells.get((loss, trick), [])) for trick in tricks)} |")
    return lines


def cell_text(runs: Sequence[Row]) -> str:
    """The mean scores of the finished runs of a cell; how many diverged; or that all are refused."""
    if runs and {row.state for row in runs} == {"refused"}:
        return "refused"
    scored = [row for row in runs if row.state == "finished" and row.modes_found is not None]
    diverged = sum(row.state == "diverged" for row in runs)
    parts = [mean_scores(scored)] if scored else []
    parts += [f"{diverged} diverged"] if diverged else []
    return ", ".join(parts) or "-"


def mean_scores(scored: Sequence[Row]) -> str:
    """Such as `6.4 (5-8) / 71 % / 0.32`: modes, high quality, and the divergence from equally frequent modes."""
    modes, qualities, divergences = (
        known(getattr(row, name) for row in scored) for name in ("modes_found", "high_quality", "mode_kl")
    )
    spread = f" ({min(modes):.0f}-{max(modes):.0f})" if min(modes) < max(modes) else ""
    mean_quality, mean_divergence = statistics.fmean(qualities), statistics.fmean(divergences)
    return f"{statistics.fmean(modes):.3g}{spread} / {100 * mean_quality:.0f} % / {mean_divergence:.2f}"


def known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of the sweeps")
    parser.add_argument("--csv", type=Path, help="also write a row for each run to this file")
    args = parser.parse_args()
    try:
        rows = sorted(map(read_row, find_runs([args.folder])), key=lambda row: row[:4])
    except ConfigError as error:
        sys.exit(str(error))
    for dataset in sorted({row.dataset for row in rows}, reverse=True):
        print("\n".join(table_lines(rows, dataset)), end="\n\n")
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([Row._fields, *rows])


if __name__ == "__main__":
    main()
