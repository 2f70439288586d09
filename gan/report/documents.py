"""A report as Markdown, and its numbers as CSV."""

import csv
import io
from collections.abc import Sequence

from gan.cli.names import short_value
from gan.metrics.catalogue import METRICS, direction, metric_of
from gan.report.cells import Number
from gan.report.contents import Report, is_headline
from gan.report.groups import differing_settings
from gan.report.runs import FROM_LAST_ROW, FROM_STATUS, Column
from gan.system import files
from gan.system.escape import csv_cell, markdown, markdown_path

MAX_WIDTH = 90  # characters of the numbers in a table; further columns are in tables below
MAX_SCORES = 4  # beside the one that decides which run is best
MAX_SETTINGS = 4  # that have columns of their own: with more, a row has the short name of its group
ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}  # the better direction


def markdown_report(report: Report) -> str:
    """The results with the real-data baseline, the protocols, the final samples by their paths, and the problems.

    The tables read well as plain text, too.
    """
    finals = [(markdown(group.label), group.final_grid) for group in report.groups]
    images = [
        f"**{label}**\n\n![{label}](<{markdown_path(files.relative_path(path, report.out))}>)"
        for label, path in finals
        if path
    ]
    problems = [f"* {markdown(run.name)}: {markdown(sentence)}" for run, sentence in report.problems()]
    parts = [
        f"# {markdown(report.title)}",
        *tables(report),
        *(["The other scores are in runs.csv."] if len(shown_columns(report)) < len(report.columns) else []),
        *report.footnotes(markdown),
        *map(markdown, report.machines),
        *images,
    ]
    if problems:
        parts += ["## Problems", "\n".join(problems)]
    return "\n\n".join(parts) + "\n"


def tables(report: Report) -> list[str]:
    """The results: a row for each group, and one for the real data. Each table begins with what a row is about."""
    labels, shown = label_columns(report), shown_columns(report)
    numbers = []
    for index, column in enumerate(report.columns):
        if column not in shown:
            continue
        cells = [number_cell(*cells[index]) for _, cells in report.rows()]
        real = [number_cell(Number(report.real_data[column]) if column in report.real_data else None, False)]
        heading = f"{markdown(column.name)}{report.mark(column.protocol)}{ARROWS[direction(column.name)]}"
        numbers.append(pad([heading, *cells, *(real if report.real_data else [])], to_right=True))
    parts: list[list[list[str]]] = [[]]
    for column_cells in numbers:
        if parts[-1] and table_width([*parts[-1], column_cells]) > MAX_WIDTH:
            parts.append([])
        parts[-1].append(column_cells)
    return [join_columns([*labels, *part]) for part in parts]


def shown_columns(report: Report) -> list[Column]:
    """The headline score by each protocol, a few others by the main one, progress and the last logged numbers."""
    main = report.headline.protocol if report.headline else next(iter(report.protocols), None)
    others = [column for column in report.columns if column.protocol == main and not is_headline(column)]
    fixed = [column for column in report.columns if column.protocol is None or is_headline(column)]
    return [*others[:MAX_SCORES], *fixed] if main else fixed


def label_columns(report: Report) -> list[list[str]]:
    """The columns that say what a row is about: settings or a name, state and number of runs."""
    groups, settings = report.groups, report.settings
    if 0 < len(settings) <= MAX_SETTINGS:
        columns = [[name, *(short_value(group.settings[name]) for group in groups)] for name in settings]
    else:
        columns = [["run", *(group.name or group.label for group in groups)]]
    columns.append(["state", *(group.state for group in groups)])
    if report.largest_group > 1:
        columns.append(["runs", *(str(len(group.counted)) for group in groups)])
    if report.real_data:
        columns = [[*column, "" if number else "real data"] for number, column in enumerate(columns)]
    return [pad([markdown(cell) for cell in column]) for column in columns]


def number_cell(number: Number | None, is_best: bool) -> str:
    return "-" if number is None else f"**{number}**" if is_best else str(number)


def pad(cells: Sequence[str], to_right: bool = False) -> list[str]:
    """The cells of a column, the heading first, in one width, with the line below the heading."""
    width = max(3, *map(len, cells))
    padded = [cell.rjust(width) if to_right else cell.ljust(width) for cell in cells]
    return [padded[0], "-" * (width - 1) + ":" if to_right else "-" * width, *padded[1:]]


def table_width(columns: Sequence[list[str]]) -> int:
    return sum(len(column[0]) + 3 for column in columns) + 1


def join_columns(columns: Sequence[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*columns, strict=True))


def csv_table(report: Report) -> str:
    """A row for each run, with all digits.

    The columns: run, state, error; settings that differ, by name; steps, time and speed; the last logged numbers;
    scores in the order of the metrics, and of their protocols; protocol.
    """
    settings, columns = sorted(differing_settings(report.runs)), sort_columns(report)
    names = ["run", "state", "error", *settings, *map(report.heading, columns)]
    names += ["protocol"] if report.protocols else []
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writerow({name: csv_cell(name) for name in names})
    for run in report.runs:
        row: dict[str, object] = {"run": run.name, "state": run.status["state"], "error": run.status["error"] or ""}
        row |= {name: run.setting(name) for name in settings}
        row |= {report.heading(column): value for column, value in run.results.items()}
        if run.protocol:
            row["protocol"] = f"{report.mark(run.protocol)} {run.protocol}".strip()
        writer.writerow({name: csv_cell(value) if isinstance(value, str) else value for name, value in row.items()})
    return file.getvalue()


def sort_columns(report: Report) -> list[Column]:
    """The columns of numbers in an order that does not depend on the runs; those of other versions come last."""
    fixed = [*FROM_STATUS, *FROM_LAST_ROW]

    def place(column: Column) -> tuple[int, int, str]:
        metric = metric_of(column.name)
        if column.protocol is None or metric is None:
            return (0 if column.name in fixed else 2), [*fixed, column.name].index(column.name), column.name
        return 1, METRICS.index(metric), column.name + report.mark(column.protocol)

    return sorted(report.columns, key=place)
