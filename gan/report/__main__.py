"""The command `python -m gan.report PATHS...`: a report about the runs in these folders."""

import argparse
import contextlib
import os
from pathlib import Path

from gan.cli import messages
from gan.config.errors import printable
from gan.report.claim_page import DOCS, claims_page
from gan.report.runs import find_runs
from gan.system import files


def kept_runs() -> list[Path]:
    """The folder of runs that are kept, without weights, for the page to be made again; none where it is missing."""
    folder = Path(files.relative_path(DOCS / "results" / "runs"))
    return [folder] if folder.is_dir() else []


def watch_seconds(text: str) -> float:
    """The argument of --watch. Raises ArgumentTypeError for what is no time to wait."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text}: must be seconds, from 1 to 86400, or left out for 10")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gan.report",
        description="Write report.html, report.md, runs.csv, sheet.png and figures/ about all runs in these folders.",
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
    parser.add_argument(
        "--watch",
        nargs="?",
        type=watch_seconds,
        const=10,
        metavar="SECONDS",
        help="write report.html again every so many seconds, 10 by default, as long as a run goes on",
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
    from gan.report.writer import watch_report, write_report  # whose libraries claims do not need

    out = args.out or Path(os.path.commonpath([path.resolve() for path in args.paths]))
    if args.watch:
        with contextlib.suppress(KeyboardInterrupt):
            watch_report(args.paths, out, args.watch)
        return
    for path in write_report(find_runs(args.paths), out):
        print(printable(files.relative_path(path)))


if __name__ == "__main__":
    with messages.user_errors():
        main()
