"""A page of runs: report.html, which needs no other file, report.md and runs.csv."""

import base64
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from gan.report import curves
from gan.report.cells import Number, best
from gan.report.runs import Group, RunFolder, differing, groups, thinned
from gan.system import files

IMAGE_BYTES = 24 * 2**20  # of all images in a page, before they are written as text
FRAMES = 24  # of a run's images over time, at most
ROWS_FIRST, COLUMNS_FIRST = "model", "optim"  # where these were swept, down and across


@dataclass(frozen=True)
class Matrix:
    """Runs laid out by two settings: a row of `cells` for each of `down`, in it one for each of `across`."""

    title: str
    down: list[str]
    across: list[str]
    cells: list[list[Group | None]]


class Report:
    """All that the page shows of `runs`, whose images share a budget of bytes."""

    def __init__(self, runs: list[RunFolder], out: Path) -> None:
        self.runs, self.out, self.groups = runs, out, groups(runs)
        self.names = [name for name in differing(runs) if name != "seed"]
        self.seeds = max(len(group.runs) for group in self.groups)
        self.machines = list(dict.fromkeys(run.status["machine"] for run in runs if run.status["machine"]))
        self.numbers = [group.numbers() for group in self.groups]
        self.columns = list(
            dict.fromkeys(name for numbers in self.numbers for name, number in numbers.items() if number is not None)
        )
        self.protocols = list(dict.fromkeys(run.protocol for run in runs if run.protocol))
        self.best = {}
        if len(self.protocols) == 1:  # else there is nothing to compare
            self.best = {name: best(name, (numbers.get(name) for numbers in self.numbers)) for name in self.columns}

    @property
    def title(self) -> str:
        return self.runs[0].name if len(self.runs) == 1 else f"{len(self.runs)} runs in {self.out.resolve().name}"

    def rows(self) -> Iterator[tuple[Group, list[tuple[Number | None, bool]]]]:
        """A group with its numbers, each with whether it is the best of its column."""
        for group, numbers in zip(self.groups, self.numbers, strict=True):
            cells = [numbers.get(name) for name in self.columns]
            yield (
                group,
                [
                    (cell, cell is not None and cell.mean == self.best.get(name))
                    for name, cell in zip(self.columns, cells, strict=True)
                ],
            )

    def matrices(self) -> list[Matrix]:
        """The groups by two of the settings in which they differ, a matrix for each choice of the others."""
        down, across = self.axes()
        rest = [name for name in self.names if name not in (down, across)]
        found: dict[tuple[str, ...], list[Group]] = {}
        for group in self.groups:
            found.setdefault(tuple(group.settings[name] for name in rest), []).append(group)
        matrices = []
        for values, members in found.items():
            placed = {(group.settings.get(down), group.settings.get(across)): group for group in members}
            rows = list(dict.fromkeys(place[0] for place in placed))
            columns = list(dict.fromkeys(place[1] for place in placed))
            cells = [[placed.get((row, column)) for column in columns] for row in rows]
            title = ", ".join(f"{name}={value}" for name, value in zip(rest, values, strict=True))
            matrices.append(Matrix(title, labels(down, rows), labels(across, columns), cells))
        return matrices

    def axes(self) -> tuple[str | None, str | None]:
        """What is laid out down and across; what is swept alone goes across."""
        if len(self.names) < 2:
            return None, self.names[0] if self.names else None
        down = ROWS_FIRST if ROWS_FIRST in self.names else next(n for n in self.names if n != COLUMNS_FIRST)
        others = [name for name in self.names if name != down]
        return down, COLUMNS_FIRST if COLUMNS_FIRST in others else others[0]

    def frames(self, run: RunFolder) -> list[tuple[int, str]]:
        """Steps and images of a run, as many as its share of the page's bytes allows, the last always among them."""
        largest = max((path.stat().st_size for path in run.grids[-1:]), default=1) or 1
        share = IMAGE_BYTES // len(self.runs) // largest
        chosen = thinned(run.grids, min(share, FRAMES)) if share > 1 else run.grids[-1:]
        return [(step_of(path), embedded(path)) for path in chosen]

    def final(self, group: Group) -> str | None:
        """The last image of the group's first run that has one."""
        return embedded(group.image) if group.image else None

    def troubles(self) -> list[tuple[RunFolder, str]]:
        """What went wrong, a sentence each: how runs ended, and what failed in the game on the way."""
        found = []
        for run in self.runs:
            if run.status["error"]:
                found.append((run, f"{run.status['state']}: {run.status['error']}"))
            found += [(run, f"step {failure['step']}: {failure['what']}") for failure in run.status["failures"]]
        return found

    def write(self) -> list[Path]:
        """Write the three files into `out`. Returns where they are. Raises OSError where that cannot be."""
        texts = {"report.html": self.html(), "report.md": self.markdown(), "runs.csv": self.csv()}
        for name, text in texts.items():
            with files.atomic_write(self.out / name, durable=False) as file:
                file.write(text.encode())
        return [self.out / name for name in texts]

    def html(self) -> str:
        """One page that opens from the disk, with nothing to fetch."""
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        shown = {"panels": curves.panels(self.groups), "legend": curves.legend(self.groups)}
        return environment.get_template("page.html.jinja").render(report=self, zip=zip, **shown)

    def markdown(self) -> str:
        """The table, the images by their paths from here, and what went wrong."""
        several = ["runs"] if self.seeds > 1 else []
        lines = [["run" if not self.names else ", ".join(self.names), "state", *several, *self.columns]]
        lines.append(["---"] * len(lines[0]))
        for group, cells in self.rows():
            values = ", ".join(group.settings.values()) or group.runs[0].name
            count = [str(len(group.runs))] if several else []
            numbers = ["-" if cell is None else f"**{cell}**" if is_best else str(cell) for cell, is_best in cells]
            lines.append([values, group.state, *count, *numbers])
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        images = [
            f"**{group.label}**\n\n![{group.label}](<{files.relative_path(group.image, self.out)}>)"
            for group in self.groups
            if group.image
        ]
        troubles = [f"* {run.name}: {sentence}" for run, sentence in self.troubles()]
        scored = [f"Scores: {'; '.join(self.protocols)}."] if self.protocols else []
        parts = [
            f"# {self.title}",
            table,
            *scored,
            *self.machines,
            *images,
            *(["## What went wrong"] if troubles else []),
        ]
        return "\n\n".join([*parts, "\n".join(troubles)]).rstrip() + "\n"

    def csv(self) -> str:
        """A row for each run, with the settings that differ."""
        rows: list[dict[str, Any]] = []
        for run in self.runs:
            settings = {name: run.setting(name) for name in differing(self.runs)}
            alone = Group(settings, [run])
            numbers = {name: cell.mean for name, cell in alone.numbers().items() if cell is not None}
            rows.append({"run": run.name, **settings, "state": alone.state, **numbers})
        file = io.StringIO()
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue()


def labels(name: str | None, values: list[str | None]) -> list[str]:
    """What stands beside a row or above a column."""
    return ["" if name is None else f"{name}={value}" for value in values]


def step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def embedded(path: Path) -> str:
    """A image as the text that stands in a page in place of its address."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
