"""Time the published set-ups against the loop most tutorials write and against the hardware.

    python -m benchmarks                # everything, about half an hour on two cores
    python -m benchmarks --quick        # two set-ups, coarsely, in a minute or two
    python -m benchmarks --setups mlp conv --parts steps
    python -m benchmarks --parts report # the page about 500 runs, in a few minutes
    python -m benchmarks --parts growth --figure docs/growth.png    # by batch, width, side, dataset and runs
    python -m benchmarks --parts sweep  # runs an hour

Prints Markdown, with the verdict on each of its goals at the end. Nothing else should run at the same time. Ratios are
taken between two measurements that follow each other, and printed as the median of all rounds with the minimum and the
maximum.
"""

import argparse
import os
from pathlib import Path

from benchmarks.goals import print_verdicts
from benchmarks.steps import OURS, SETUPS
from benchmarks.tables import print_header, print_row
from benchmarks.workers import ROOT

PARTS = ["steps", "profile", "start", "writing", "growth", "sweep", "reading", "report"]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=SETUPS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--figure", type=Path, help="PNG that the part growth is drawn into")
    parser.add_argument("--quick", action="store_true")
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # torch's profiler complains where there is no GPU
    args = parser.parse_args()
    if args.quick:  # other defaults; what is typed counts
        parser.set_defaults(setups=["mlp", "log_tanh"], rounds=2, parts=["steps", "profile", "start", "writing"])
        args = parser.parse_args()

    if args.rounds < 1:
        parser.error(f"--rounds {args.rounds}: must be >= 1.")
    if args.figure and ("growth" not in args.parts or not args.figure.absolute().parent.is_dir()):
        parser.error(f"--figure {args.figure}: needs --parts growth and an existing folder.")

    from gan.cli import messages
    from gan.system.device import describe_device, select_device

    try:
        device = select_device(args.device)
        print(f"{describe_device(device)}\n")
        print_verdicts(run_parts(args))
    except Exception as error:
        messages.exit_with(error)


def run_parts(args: argparse.Namespace) -> dict[str, float]:
    """Print the parts that were asked for. Returns the numbers that have goals."""
    from benchmarks import growth, growth_figure, report, start, steps, sweep
    from gan.system.device import select_device

    ours = {name: overrides for name, overrides in OURS.items() if not (args.quick and name == "compile")}
    slice_seconds = 0.3 if args.quick else 1.0
    common = (f"device={args.device}", f"cache_dir={ROOT / 'data'}")
    found: dict[str, float] = {}
    if "steps" in args.parts:
        found |= steps.time_steps(args.setups, ours, common, args.rounds, slice_seconds)
    if "profile" in args.parts:
        steps.profile_steps(args.setups, common, select_device(args.device), slice_seconds)
    if "start" in args.parts:
        found |= start.time_start(common, 1 if args.quick else 5)
    if "writing" in args.parts:
        found |= start.time_writing(common)
    if "growth" in args.parts:
        axes = growth.AXES[::2] if args.quick else growth.AXES
        curves = growth.time_growth(common, min(args.rounds, 3), slice_seconds / 2, axes)
        found |= growth.doubling_costs(curves)
        if args.figure:
            growth_figure.draw_growth(curves, args.figure)
    if "sweep" in args.parts:
        found |= sweep.time_sweeps(common, *((2, 20, 1) if args.quick else (sweep.RUNS, sweep.STEPS, sweep.ALONE)))
    if "reading" in args.parts:
        time_reading(10_000 if args.quick else 100_000)
    if "report" in args.parts:
        found |= report.time_report()
    return found


def time_reading(count: int) -> None:
    """Print how fast own images are read, and the memory that large ones take."""
    from benchmarks.reading import COLUMNS, measure_reading

    print("## Own images, decoded\n")
    print_header(COLUMNS)
    for row in measure_reading(count):
        print_row(row)
    print()


if __name__ == "__main__":
    main()
