"""The report about a list of runs: report.html, which needs no other file, report.md and runs.csv."""

import base64
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jinja2

from gan.config.errors import printable
from gan.report import curves
from gan.report.cells import Number, best
from gan.report.runs import Column, Group, RunFolder, differing_settings, group_runs, thin_out
from gan.system import files
from gan.system.escape import csv_cell, markdown, markdown_path
from gan.system.images import read_png

IMAGE_BYTES = 24 * 2**20  # of all images in a page, before base64
MAX_FRAMES = 24  # sample grids of one run
ROW_SETTING, COLUMN_SETTING = "model", "optim"  # the axes of the sample matrix, where they were swept


@dataclass(frozen=True)
class Matrix:
    """Groups in a grid by two settings: `cells` has a row for each of `row_labels`; None where nothing was run."""

    title: str
    row_labels: list[str]
    column_labels: list[str]
    cells: list[list[Group | None]]


class Frame(NamedTuple):
    """A sample grid of a run, with its content as a data URL."""

    step: int
    path: Path
    url: str


class Report:
    """The content of the report about `runs`, all read here; the paths in it are relative to the folder `out`."""

    def __init__(self, runs: list[RunFolder], out: Path) -> None:
        self.runs, self.out, self.groups = runs, out, group_runs(runs)
        self.frames = {run.folder: self.read_frames(run) for run in runs}
        self.panels = curves.draw_panels(self.groups)
        self.settings = [name for name in differing_settings(runs) if name != "seed"]
        self.largest_group = max(len(group.counted) for group in self.groups)
        self.machines = list(dict.fromkeys(run.status["machine"] for run in runs if run.status["machine"]))
        self.results = [group.results for group in self.groups]
        self.protocols = list(dict.fromkeys(run.protocol for run in runs if run.protocol))
        columns = dict.fromkeys(column for results in self.results for column in results)
        self.columns = sorted(columns, key=lambda column: [None, *self.protocols].index(column.protocol))
        self.best = {
            column: best(column.name, (results.get(column) for results in self.results)) for column in self.columns
        }

    @property
    def title(self) -> str:
        return self.runs[0].name if len(self.runs) == 1 else f"{len(self.runs)} runs in {self.out.resolve().name}"

    def heading(self, column: Column) -> str:
        """The heading of a column: `fid_mnist`, or `fid_mnist [2]` for the second of several protocols."""
        return column.name + self.mark(column.protocol)

    def mark(self, protocol: str | None) -> str:
        """The footnote mark of a protocol, such as ` [2]`; empty where there is only one."""
        return f" [{self.protocols.index(protocol) + 1}]" if protocol and len(self.protocols) > 1 else ""

    def footnotes(self, escape: Callable[[str], str] = str) -> list[str]:
        """The protocols of the scores, and the runs that are left out of means, a sentence each."""
        sentences = [f"Scores{self.mark(protocol)}: {escape(protocol)}." for protocol in self.protocols]
        repeats = [escape(run.name) for group in self.groups for run in group.runs if run not in group.counted]
        if repeats:
            sentences.append(f"Not counted, as another run has the same settings and seed: {', '.join(repeats)}.")
        return sentences

    def rows(self) -> Iterator[tuple[Group, list[tuple[Number | None, bool]]]]:
        """Each group with its numbers, and whether each is the best of its column."""
        for group, results in zip(self.groups, self.results, strict=True):
            numbers = [(results.get(column), self.best[column]) for column in self.columns]
            yield group, [(number, number is not None and number.mean == best_mean) for number, best_mean in numbers]

    def matrices(self) -> list[Matrix]:
        """The groups in a grid by two of the settings in which they differ, one grid for each choice of the others."""
        row_setting, column_setting = self.axes()
        others = [name for name in self.settings if name not in (row_setting, column_setting)]
        parts: dict[str, list[Group]] = {}
        for group in self.groups:
            parts.setdefault(", ".join(group.label_of(name) for name in others), []).append(group)
        matrices = []
        for title, members in parts.items():
            placed = {(group.label_of(row_setting), group.label_of(column_setting)): group for group in members}
            rows, columns = (list(dict.fromkeys(labels)) for labels in zip(*placed, strict=True))
            cells = [[placed.get((row, column)) for column in columns] for row in rows]
            matrices.append(Matrix(title, rows, columns, cells))
        return matrices

    def axes(self) -> tuple[str, str]:
        """The settings of the rows and of the columns of a matrix, "" for none; a single one is that of the columns."""
        if len(self.settings) < 2:
            return "", self.settings[0] if self.settings else ""
        row = ROW_SETTING if ROW_SETTING in self.settings else next(n for n in self.settings if n != COLUMN_SETTING)
        others = [name for name in self.settings if name != row]
        return row, COLUMN_SETTING if COLUMN_SETTING in others else others[0]

    def read_frames(self, run: RunFolder) -> list[Frame]:
        """The sample grids of a run: the last one, and as many as the budget of the page allows."""
        largest = max((path.stat().st_size for path in run.sample_grids), default=1) or 1
        count = IMAGE_BYTES // len(self.runs) // largest
        paths = thin_out(run.sample_grids, min(count, MAX_FRAMES)) if count > 1 else run.sample_grids[-1:]
        contents = [(path, run.read(read_png, f"samples/{path.name}")) for path in paths]
        readable = [(path, content) for path, content in contents if content]
        return [Frame(int(path.stem.removeprefix("step_")), path, data_url(content)) for path, content in readable]

    def final_samples(self, group: Group) -> Frame | None:
        """The last sample grid of the first run of a group that has any; None where it cannot be read."""
        run = next((run for run in group.runs if run.sample_grids), group.runs[0])
        return next((frame for frame in self.frames[run.folder] if frame.path == run.sample_grids[-1]), None)

    def problems(self) -> list[tuple[RunFolder, str]]:
        """Files that cannot be read, errors that ended a run, and training failures that `trick=track_failures`
        detected, a sentence each.
        """
        problems = []
        for run in self.runs:
            problems += [(run, sentence) for sentence in run.damage.values()]
            if run.status["error"]:
                problems.append((run, f"{run.status['state']}: {run.status['error']}"))
            failures = [failure for failure in run.status["failures"] if isinstance(failure, dict)]
            problems += [(run, f"step {failure.get('step')}: {failure.get('what')}") for failure in failures]
        return problems

    def write(self) -> list[Path]:
        """Write the three files into `out` and return their paths. Raises OSError where that fails."""
        texts = {"report.html": self.html(), "report.md": self.markdown(), "runs.csv": self.csv()}
        for name, text in texts.items():
            with files.atomic_write(self.out / name, durable=False) as file:
                file.write(text.encode())
        return [self.out / name for name in texts]

    def html(self) -> str:
        """A page that works offline."""
        loader = jinja2.FileSystemLoader(Path(__file__).parent)
        environment = jinja2.Environment(
            loader=loader, autoescape=True, finalize=finalize, trim_blocks=True, lstrip_blocks=True
        )
        legend = curves.legend_entries(self.groups)
        return environment.get_template("page.html.jinja").render(report=self, zip=zip, legend=legend)

    def markdown(self) -> str:
        """The results, the protocols, the final samples by their paths, and the problems."""
        run_count = ["runs"] if self.largest_group > 1 else []
        headings = [markdown(column.name) + self.mark(column.protocol) for column in self.columns]
        head = [markdown(", ".join(self.settings) or "run"), "state", *run_count, *headings]
        lines = [head, ["---"] * len(head)]
        for group, cells in self.rows():
            values = ", ".join(group.settings.values()) or group.runs[0].name
            count = [str(len(group.counted))] if run_count else []
            numbers = [
                "-" if number is None else f"**{number}**" if is_best else str(number) for number, is_best in cells
            ]
            lines.append([markdown(values), markdown(group.state), *count, *numbers])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        finals = [(markdown(group.label), self.final_samples(group)) for group in self.groups]
        images = [
            f"**{label}**\n\n![{label}](<{markdown_path(files.relative_path(frame.path, self.out))}>)"
            for label, frame in finals
            if frame
        ]
        problems = [f"* {markdown(run.name)}: {markdown(sentence)}" for run, sentence in self.problems()]
        parts = [f"# {markdown(self.title)}", table, *self.footnotes(markdown), *map(markdown, self.machines), *images]
        if problems:
            parts += ["## Problems", "\n".join(problems)]
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """A row for each run, with the settings that differ and the protocol of its scores."""
        settings, headings = differing_settings(self.runs), [self.heading(column) for column in self.columns]
        names = ["run", *settings, "state", *headings, *(["protocol"] if self.protocols else [])]
        file = io.StringIO()
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writerow({name: csv_cell(name) for name in names})
        for run in self.runs:
            row: dict[str, object] = {"run": run.name, "state": run.status["state"]}
            row |= {name: run.setting(name) for name in settings}
            row |= {self.heading(column): value for column, value in run.results.items()}
            if run.protocol:
                row["protocol"] = f"{self.mark(run.protocol)} {run.protocol}".strip()
            writer.writerow({name: csv_cell(value) if isinstance(value, str) else value for name, value in row.items()})
        return file.getvalue()


def data_url(png: bytes) -> str:
    """The content of a PNG as a URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def finalize(value: object) -> object:
    """What Jinja writes for `value`, before it escapes HTML: text without control characters."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return printable(value) if is_text else value
