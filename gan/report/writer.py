"""Writes the files of a report, once or again and again while runs go on."""

import time
from pathlib import Path

from gan.report.contents import Report
from gan.report.documents import csv_table, markdown_report
from gan.report.figures import write_figures
from gan.report.page import Page
from gan.report.runs import RunFolder, find_runs
from gan.report.sheet import report_sheet
from gan.system import files


def write_report(runs: list[RunFolder], out: Path) -> list[Path]:
    """Write report.html, report.md, runs.csv, sheet.png and figures/ into `out`, and return their paths.

    Raises OSError where that fails, and ConfigError where `figures` is a link out of `out`.
    """
    report = Report(runs, out)
    texts = {"report.html": Page(report).html(), "report.md": markdown_report(report), "runs.csv": csv_table(report)}
    contents = {name: text.encode() for name, text in texts.items()} | {"sheet.png": report_sheet(report)}
    written = [write_file(out / name, content) for name, content in contents.items()]
    return written + write_figures(report.groups, out)


def watch_report(paths: list[Path], out: Path, every_seconds: float) -> None:
    """Write report.html into `out` every so many seconds, as long as any run is running, and once more at the end.

    A page that is open reads itself again. Runs that start in the meantime are found. Raises OSError where writing
    fails, and ConfigError as long as there is no run.
    """
    was_running = True  # a sweep's next run starts some seconds after the last one has ended
    while True:
        report = Report(find_runs(paths), out)
        is_running = "running" in report.states
        goes_on = is_running or was_running
        write_file(out / "report.html", Page(report, every_seconds if goes_on else None).html().encode())
        print(
            f"{time.strftime('%H:%M:%S')}  {', '.join(f'{count} {state}' for state, count in report.states.items())}",
            flush=True,
        )
        if not goes_on:
            return
        was_running = is_running
        time.sleep(every_seconds)


def write_file(path: Path, content: bytes) -> Path:
    with files.atomic_write(path, durable=False) as file:
        file.write(content)
    return path
