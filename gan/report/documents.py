"""A report as Markdown, and its numbers as CSV."""

import csv
import io

from gan.report.contents import Report
from gan.report.groups import differing_settings
from gan.system import files
from gan.system.escape import csv_cell, markdown, markdown_path


def markdown_report(report: Report) -> str:
    """The results, the protocols, the final samples by their paths, and the problems."""
    run_count = ["runs"] if report.largest_group > 1 else []
    headings = [markdown(column.name) + report.mark(column.protocol) for column in report.columns]
    head = [markdown(", ".join(report.settings) or "run"), "state", *run_count, *headings]
    lines = [head, ["---"] * len(head)]
    for group, cells in report.rows():
        values = ", ".join(group.settings.values()) or group.runs[0].name
        count = [str(len(group.counted))] if run_count else []
        numbers = ["-" if number is None else f"**{number}**" if is_best else str(number) for number, is_best in cells]
        lines.append([markdown(values), markdown(group.state), *count, *numbers])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    finals = [(markdown(group.label), group.final_grid) for group in report.groups]
    images = [
        f"**{label}**\n\n![{label}](<{markdown_path(files.relative_path(path, report.out))}>)"
        for label, path in finals
        if path
    ]
    problems = [f"* {markdown(run.name)}: {markdown(sentence)}" for run, sentence in report.problems()]
    parts = [
        f"# {markdown(report.title)}",
        table,
        *report.footnotes(markdown),
        *map(markdown, report.machines),
        *images,
    ]
    if problems:
        parts += ["## Problems", "\n".join(problems)]
    return "\n\n".join(parts) + "\n"


def csv_table(report: Report) -> str:
    """A row for each run, with the settings that differ and the protocol of its scores."""
    settings, headings = differing_settings(report.runs), [report.heading(column) for column in report.columns]
    names = ["run", *settings, "state", *headings, *(["protocol"] if report.protocols else [])]
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writerow({name: csv_cell(name) for name in names})
    for run in report.runs:
        row: dict[str, object] = {"run": run.name, "state": run.status["state"]}
        row |= {name: run.setting(name) for name in settings}
        row |= {report.heading(column): value for column, value in run.results.items()}
        if run.protocol:
            row["protocol"] = f"{report.mark(run.protocol)} {run.protocol}".strip()
        writer.writerow({name: csv_cell(value) if isinstance(value, str) else value for name, value in row.items()})
    return file.getvalue()
