"""The command `python -m gan.report PATHS...`: a report about the runs in these folders."""

import argparse
import os
from pathlib import Path

from gan.cli import messages
from gan.config.errors import printable
from gan.report.claim_page import DOCS, claims_page
from gan.report.page import Report
from gan.report.runs import find_runs
from gan.system import files


def kept_runs() -> list[Path]:
    """The folder of runs that are kept, without weights, for the page to be made again; none where it is missing."""
    folder = Path(files.relative_path(DOCS / "results" / "runs"))
    return [folder] if folder.is_dir() else []


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gan.report",
        description="Write report.html, report.md and runs.csv about all runs in these folders.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="a run, a sweep, or any folder of runs")
    parser.add_argument(
        "--out", type=Path, help="folder to write to; default: the folder of the runs, and none with --claims"
    )
    parser.add_argument(
        "--claims",
        action="store_true",
        help="print which claims about published set-ups held in these runs and in those kept in docs/results/runs; "
        "with --out, write results.md there, and in results/ a page and figures for each set-up",
    )
    args = parser.parse_args()
    if args.claims:
        text = "\n".join(claims_page(find_runs([*kept_runs(), *args.paths]), args.out)) + "\n"
        if args.out:
            with files.atomic_write(args.out / "results.md") as file:
                file.write(text.encode())
        print(text, end="", flush=True)
        return
    if not args.paths:
        parser.error("the following arguments are required: PATH")
    runs = find_runs(args.paths)
    out = args.out or Path(os.path.commonpath([path.resolve() for path in args.paths]))
    for path in Report(runs, out).write():
        print(printable(files.relative_path(path)))


if __name__ == "__main__":
    with messages.user_errors():
        main()
