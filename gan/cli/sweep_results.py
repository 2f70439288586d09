"""What a sweep leaves behind: the table of its runs, printed and as sweep.csv, and sweep.png. Imports no torch."""

import csv
import io
import math
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan.cli.messages import os_error_message
from gan.cli.names import short_value
from gan.cli.overrides import shell_line
from gan.config.errors import first_line
from gan.metrics.catalogue import headline
from gan.system import files
from gan.system.escape import csv_cell

MAX_SHOWN = 200  # runs in a contact sheet, which then has some 14 million pixels
METRICS = {
    "D loss": "discriminator/loss",
    "G loss": "generator/loss",
    "D(x)": "discriminator/real",
    "D(G(z))": "discriminator/fake",
}


class SweepRun(NamedTuple):
    """A run of a sweep.

    Args:
        swept: the settings that were swept, with their values.
        outcome: what its status.json says.
    """

    folder: Path
    swept: dict[str, str]
    outcome: dict[str, Any]

    @property
    def label(self) -> str:
        """What was swept, or else the name of its folder."""
        return " ".join(f"{name}={value}" for name, value in self.swept.items()) or self.folder.name

    @property
    def fid(self) -> dict[str, float]:
        """Its FID, or distance of points, by column, such as `fid_mnist`; empty where that was not taken."""
        found = headline(self.outcome["scores"])
        return dict([found]) if found and isinstance(found[1], (int, float)) else {}

    def columns(self, sweep: Path) -> dict[str, Any]:
        """Its row in the table of a sweep, by column; None for a number that is not there."""
        last = {name: self.outcome["last"].get(metric) for name, metric in METRICS.items()}
        numbers = {name: value if isinstance(value, (int, float)) else None for name, value in last.items()}
        progress = {"state": self.outcome["state"], "step": self.outcome["step"]}
        seconds = {"seconds": f"{self.outcome['seconds']:.0f}"}
        return {"job": files.relative_path(self.folder, sweep)} | progress | seconds | numbers | self.fid


class Search(NamedTuple):
    """What a search looks for: the lowest or highest objective.

    Args:
        maximizes: whether the highest is best, as `hydra.sweeper.direction=maximize` says.
    """

    maximizes: bool

    def ranked(self, runs: Sequence[SweepRun]) -> list[SweepRun]:
        """The runs, the best first; those without an objective last, in their order."""
        scored = [run for run in runs if objective(run.outcome) is not None]
        others = [run for run in runs if objective(run.outcome) is None]
        return [*sorted(scored, key=lambda run: objective(run.outcome) or 0.0, reverse=self.maximizes), *others]

    def best(self, runs: Sequence[SweepRun]) -> SweepRun | None:
        """The run with the best objective; None where no run has one."""
        return next((run for run in self.ranked(runs) if objective(run.outcome) is not None), None)


def objective(outcome: dict[str, Any]) -> float | None:
    """What a search minimizes, from what a run's status.json says: its last FID, or distance of points.

    None if it diverged.
    """
    score = headline(outcome["scores"])
    is_number = score is not None and isinstance(score[1], (int, float)) and math.isfinite(score[1])
    return score[1] if score and is_number and outcome["state"] != "diverged" else None


def search_table(runs: Sequence[SweepRun], search: Search) -> list[str]:
    """The table of a search as lines of text: the trials by their score, the best first and with a star.

    The folder of a trial, which is named after all digits of its settings, is in sweep.csv.
    """
    best, rows = search.best(runs), []
    for run in search.ranked(runs):
        score = {name: None if objective(run.outcome) is None else value for name, value in run.fid.items()}
        settings = {name: short_value(value) for name, value in run.swept.items()}
        progress = {name: run.outcome[name] for name in ("state", "step")}
        rows.append({"": "*" if run is best else ""} | score | settings | progress)
    scores = [name for run in runs for name in run.fid] or ["score"]
    return align(rows, ["", *scores, *(name for row in rows for name in row)])


def table_lines(runs: Sequence[SweepRun], sweep: Path) -> list[str]:
    """The table of a sweep as lines of text."""
    rows = [run.columns(sweep) for run in runs]
    return align(rows, ["job", "state", "step", "seconds", *METRICS, *(name for row in rows for name in row)])


def align(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[str]:
    """Rows as lines of text below a head, in columns of one width."""
    names = dict.fromkeys(columns)
    cells = [list(names), *([cell_text(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def cell_text(value: Any) -> str:
    """A value in the printed table."""
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def table_csv(runs: Sequence[SweepRun], sweep: Path, search: Search | None) -> bytes:
    """The table as the content of a CSV file; of a search also with what was swept, and which trial is best."""
    rows = [run.columns(sweep) for run in runs]
    if search:
        best = search.best(runs)
        for row, run in zip(rows, runs, strict=True):
            row |= run.swept | {"objective": objective(run.outcome), "best": run is best}
    file = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writerow({name: csv_cell(name) for name in names})
    for row in rows:
        writer.writerow({name: csv_cell(value) if isinstance(value, str) else value for name, value in row.items()})
    return file.getvalue().encode()


def sheet_png(runs: Sequence[SweepRun], sweep: Path, _: Search | None) -> bytes:
    """The contact sheet as the content of a PNG file."""
    from gan.cli import contact_sheet  # whose libraries would delay the start of every program

    file = io.BytesIO()
    contact_sheet.draw_sheet(f"{count_shown(runs)} in {sweep.absolute().name}", runs).save(file, format="png")
    return file.getvalue()


def count_shown(runs: Sequence[SweepRun]) -> str:
    """How many runs the contact sheet shows."""
    if len(runs) > MAX_SHOWN:
        return f"The first {MAX_SHOWN} of {len(runs)} runs"
    return f"{len(runs)} runs" if len(runs) > 1 else "1 run"


def write_results(runs: Sequence[SweepRun], sweep: Path, search: Search | None = None) -> list[str]:
    """Write sweep.csv and sweep.png into the folder of the sweep. Returns lines that say so, and how to get a report.

    Nothing is raised: the outcome of a sweep does not depend on these files.
    """
    lines, written = [], []
    for name, content in {"sweep.png": sheet_png, "sweep.csv": table_csv}.items():
        try:
            with files.atomic_write(sweep / name, durable=False) as file:
                file.write(content(runs, sweep, search))
            written.append(name)
        except (OSError, MemoryError) as error:
            lines.append(f"{name} was not written: {os_error_message(error, sweep / name)}")
        except Exception as error:
            traceback.print_exc()
            lines.append(f"{name} was not written: {first_line(error)}.")
    if "sweep.png" in written and len(runs) > MAX_SHOWN:
        lines.append(f"{count_shown(runs)} are in sweep.png; the report has all.")
    report = shell_line("gan.report", files.relative_path(sweep))
    where = f"{' and '.join(written)} in {files.relative_path(sweep)}; " if written else ""
    return [*lines, f"  results     {where}for the report type: {report}"]
