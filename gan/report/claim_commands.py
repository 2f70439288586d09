"""What to type for the runs that claims want and do not have, with the time that it takes."""

from collections.abc import Iterator
from typing import NamedTuple

from gan.cli.overrides import shell_line
from gan.report.claim_files import Length, load_claims
from gan.report.claim_results import ClaimResult, is_complete, is_run_of
from gan.report.runs import RunFolder

TIMES = "Times are of one CPU core, as far as measured; several runs can share the cores."


class Missing(NamedTuple):
    """Runs to make: a set-up with overrides, and how long."""

    experiment: str
    overrides: tuple[str, ...]
    length: Length


def missing_commands(results: list[ClaimResult], all_runs: list[RunFolder]) -> Iterator[str]:
    """A line to type for the wanted seeds of which no run decides a claim, and for their baselines, with its time."""
    published = load_claims()
    wanted: dict[Missing, set[int]] = {}
    for result in results:
        claim = result.claim
        needed = [Missing(result.experiment, tuple(claim.overrides), result.length)]
        for each in claim.baselines:
            length = Length(each.epochs, "epoch") if each.epochs else result.length
            needed.append(Missing(each.experiment, tuple(each.overrides), length))
        for missing in needed:
            wanted.setdefault(missing, set()).update(result.missing_seeds)
    for missing, seeds in wanted.items():
        there = {
            run.seed
            for run in all_runs
            if is_run_of(run, missing.experiment, list(missing.overrides)) and is_complete(run, missing.length)
        }
        if left := [str(seed) for seed in sorted(seeds) if str(seed) not in there]:
            claims = published[missing.experiment]
            words = [f"experiment={missing.experiment}", *missing.overrides, missing.length.override]
            hours = len(left) * claims.hours_of(missing.length)
            sweep = ["-m"] if len(left) > 1 else []
            line = shell_line("train.py", *sweep, *words, f"seed={','.join(left)}", "threads=1", *claims.watch)
            yield f"{line}  # {f'{hours:.2g} hours' if hours >= 1 else f'{60 * hours:.0f} minutes'}"
