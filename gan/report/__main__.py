"""`python -m gan.report PATHS...`: one page about the runs in these folders."""

import argparse
import os
from pathlib import Path

from gan.cli import messages
from gan.report import verdicts
from gan.report.page import Report
from gan.report.runs import find_runs
from gan.system import files


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gan.report",
        description="Write report.html, report.md and runs.csv about all runs in these folders.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a run, a sweep, or any folder of runs")
    parser.add_argument(
        "--out", type=Path, help="where to write; by default where the runs lie, and for --claims nowhere"
    )
    parser.add_argument(
        "--claims",
        action="store_true",
        help="print which claims of published set-ups held in these runs; with --out write that too, with images",
    )
    asked = parser.parse_args()
    runs = find_runs(asked.paths)
    if asked.claims:
        text = "\n".join(verdicts.lines(runs, asked.out))
        if asked.out:
            with files.atomic_write(asked.out / "claims.md") as file:
                file.write(text.encode())
        print(text, flush=True)
        return
    out = asked.out or Path(os.path.commonpath([path.resolve() for path in asked.paths]))
    for path in Report(runs, out).write():
        print(files.relative_path(path))


if __name__ == "__main__":
    with messages.user_errors():
        main()
