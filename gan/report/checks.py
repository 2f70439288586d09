"""Checks that a claim can name. Each takes a run and thresholds, and returns whether the claim held, with the evidence.

They read the run's files only, and raise MissingData where those lack what they need. A logged row is confident where
D(x) > 0.9 and D(G(z)) < 0.1. D wins over some rows where nine in ten are confident.
"""

import math
import statistics
from itertools import pairwise
from typing import NamedTuple

from gan.metrics.catalogue import protocol_line
from gan.report.measurements import (
    MissingData,
    Score,
    complete_scores,
    final_score,
    logged,
    tenth_means,
    training_scores,
)
from gan.report.runs import RunFolder

CONFIDENT, MOST_ROWS = 0.9, 0.9
NEGLIGIBLE = 0.01  # a smaller change of a loss cannot be seen in a figure


class CheckResult(NamedTuple):
    """Whether the claim held, None where it is undecided; and the numbers or the reason behind it."""

    held: bool | None
    evidence: str


def stays_level(
    run: RunFolder, *, names: list[str], from_epoch: float, until_epoch: float, within: float, at: float | None = None
) -> CheckResult:
    """Between two epochs each of `names` stays near its median, or near `at`, without a trend.

    `within` is the largest allowed deviation, and the largest allowed difference between the means of the first and
    the last tenth, both as a fraction of that reference. Up to 0.01 is always allowed.
    """
    held, evidence = True, []
    for name in names:
        values = logged(run, name, from_epoch, until_epoch)
        median, (first, last) = statistics.median(values), tenth_means(values)
        reference, reference_name = (median, "the median") if at is None else (at, f"{at:g}")
        deviation = max(abs(value - reference) for value in values)
        held = held and max(deviation, abs(last - first)) <= max(within * abs(reference), NEGLIGIBLE)
        evidence.append(
            f"{name} in epochs {from_epoch:g} to {until_epoch:g}: median {median:.3g}, at most {deviation:.2g} from "
            f"{reference_name}, mean {first:.3g} in the first tenth and {last:.3g} in the last"
        )
    return CheckResult(held, "; ".join(evidence))


def does_not_fall(run: RunFolder, *, names: list[str], by: float) -> CheckResult:
    """For each of `names` the mean over the last tenth is less than a fraction `by` below that over the first."""
    means = {name: tenth_means(logged(run, name)) for name in names}
    evidence = [f"{name} from {first:.3g} to {last:.3g}" for name, (first, last) in means.items()]
    held = all(last > (1 - by) * first for first, last in means.values())
    return CheckResult(held, f"{'; '.join(evidence)} (means of the first and the last tenth of the run)")


def rises(run: RunFolder, *, name: str, after_epoch: float, times: float) -> CheckResult:
    """The mean over the last tenth of the run is at least `times` the mean until `after_epoch`."""
    before, (_, last) = statistics.fmean(logged(run, name, 0, after_epoch)), tenth_means(logged(run, name))
    evidence = f"mean {name} {before:.3g} until epoch {after_epoch:g}, {last:.3g} in the last tenth of the run"
    return CheckResult(last >= times * before, evidence)


def keeps_order(run: RunFolder, *, greatest_first: list[str | float], fraction: float) -> CheckResult:
    """In at least this `fraction` of the logged rows the named numbers and the constants come in this order."""
    columns = [logged(run, name) if isinstance(name, str) else [name] * len(run.rows) for name in greatest_first]
    count = sum(all(upper > lower for upper, lower in pairwise(row)) for row in zip(*columns, strict=True))
    named = [(name, column) for name, column in zip(greatest_first, columns, strict=True) if isinstance(name, str)]
    ranges = [f"{name} from {min(column):.3g} to {max(column):.3g}" for name, column in named]
    evidence = f"true in {count} of {len(run.rows)} logged rows; {', '.join(ranges)}"
    return CheckResult(count >= fraction * len(run.rows), evidence)


def discriminator_wins(run: RunFolder, *, from_epoch: float, until_epoch: float) -> CheckResult:
    """D wins until the end of the run, from an epoch between these two on."""
    epoch, evidence = winning_epoch(run)
    return CheckResult(epoch is not None and from_epoch <= epoch <= until_epoch, evidence)


def discriminator_does_not_win(run: RunFolder) -> CheckResult:
    """D does not win over the last tenth of the run."""
    epoch, evidence = winning_epoch(run)
    return CheckResult(epoch is None, evidence)


def diverges(run: RunFolder, *, from_step: int) -> CheckResult:
    """A loss or gradient becomes infinite or NaN at `from_step` or later, which ends the run."""
    state, step = run.status["state"], run.status["step"]
    if state == "diverged":
        return CheckResult(step >= from_step, run.status["error"] or f"diverged at step {step}")
    losses = [f"{player}/loss" for player in ("discriminator", "generator")]
    last = ", ".join(f"{name} {tenth_means(logged(run, name))[1]:.3g}" for name in losses)
    return CheckResult(False, f"all losses and gradients finite in {step} steps ({last} in the last tenth of the run)")


def vanishes(run: RunFolder, *, name: str, below: float, until_epoch: float) -> CheckResult:
    """In the tenth of the rows before `until_epoch` D wins, and the median is below this fraction of the first row."""
    values, confident = logged(run, name, 0, until_epoch), confident_rows(run, until_epoch)
    count = math.ceil(len(values) / 10)
    last = statistics.median(values[-count:])
    wins = are_won(confident[-count:])
    evidence = f"{name} from {values[0]:.3g} to {last:.2g} at epoch {until_epoch:g}, where D "
    return CheckResult(wins and last < below * values[0], evidence + ("wins" if wins else "does not win"))


def score_within(
    run: RunFolder,
    *,
    metric: str,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    images: int | None = None,
    epochs: tuple[float, float] | None = None,
) -> CheckResult:
    """A score is in a range: the final one, of `images` generated images if given, or the mean between two `epochs`."""
    if epochs is None:
        column, value, _ = final_score(run, metric, images)
        return CheckResult(at_least <= value <= at_most, f"{column} {value:.4g} at the end")
    scores = training_scores(run, metric, *epochs)
    value = statistics.fmean(score.value for score in scores)
    evidence = f"{scores[0].column} {value:.4g} on average between epochs {epochs[0]:g} and {epochs[1]:g}"
    return CheckResult(at_least <= value <= at_most, evidence)


def hardly_improves(run: RunFolder, *, from_epoch: float, until_epoch: float, by: float) -> CheckResult:
    """The final FID is less than a fraction `by` below the first one between two epochs."""
    early, *_ = training_scores(run, "fid", from_epoch, until_epoch)
    *_, last = complete_scores(run, "fid")
    return CheckResult(last.value > (1 - by) * early.value, compare_scores(run, early, last))


def deteriorates(run: RunFolder, *, times: float) -> CheckResult:
    """The final FID is at least `times` the lowest one before it."""
    *before, last = complete_scores(run, "fid")
    best = min(before, key=lambda score: score.value)
    return CheckResult(last.value >= times * best.value, compare_scores(run, best, last))


def beats(run: RunFolder, *, baseline: RunFolder, by: float, slack: float) -> CheckResult:
    """Its FID is a fraction `by` or more below the baseline's, and training took at most a fraction `slack` longer."""
    ours, theirs = final_score(run, "fid"), final_score(baseline, "fid")
    if protocol_line(ours.row) != protocol_line(theirs.row):
        raise MissingData(f"its scores have another protocol than those of {baseline.name}")
    if run.status["machine"] != baseline.status["machine"]:
        raise MissingData(f"it was trained on another machine than {baseline.name}")
    in_time = run.status["seconds"] <= (1 + slack) * baseline.status["seconds"]
    evidence = f"{ours.column} {ours.value:.3g} after {minutes(run)}; {theirs.value:.3g} after {minutes(baseline)}"
    return CheckResult(ours.value <= (1 - by) * theirs.value and in_time, f"{evidence} in {baseline.name}")


def confident_rows(run: RunFolder, until_epoch: float = math.inf) -> list[bool]:
    """For each logged row whether D is confident."""
    real, fake = (logged(run, f"discriminator/{kind}", 0, until_epoch) for kind in ("real", "fake"))
    return [x > CONFIDENT and z < 1 - CONFIDENT for x, z in zip(real, fake, strict=True)]


def are_won(confident: list[bool]) -> bool:
    """Whether D wins over these rows."""
    return sum(confident) >= MOST_ROWS * len(confident)


def winning_epoch(run: RunFolder) -> tuple[float | None, str]:
    """The epoch from which on D wins, None where it does not over the last tenth of the run; and the evidence."""
    confident = confident_rows(run)
    (_, real), (_, fake) = (tenth_means(logged(run, f"discriminator/{kind}")) for kind in ("real", "fake"))
    ending = f"D(x) {real:.3g}, D(G(z)) {fake:.3g} over the last tenth of the run"
    if not are_won(confident[-math.ceil(len(confident) / 10) :]):
        return None, f"D does not win ({ending})"
    epoch = next(row["epoch"] for i, row in enumerate(run.rows) if confident[i] and are_won(confident[i:]))
    return epoch, f"D wins from epoch {epoch:.3g} on ({ending})"


def minutes(run: RunFolder) -> str:
    """The duration of its training."""
    return f"{run.status['seconds'] / 60:.1f} minutes"


def compare_scores(run: RunFolder, *scores: Score) -> str:
    """Scores of one column with their epochs: `fid_mnist 63.2 at epoch 10 and 3.63 at epoch 200`."""
    parts = [f"{score.value:.3g} at epoch {run.epoch_of(score.row['step']):.3g}" for score in scores]
    return f"{scores[0].column} {' and '.join(parts)}"
