"""Checks of claims on logged numbers. Each takes a run and thresholds, and returns whether the claim held for its seed.

They read the run's files only, and raise MissingData where those lack what they need. A logged row is confident where
D(x) > 0.9 and D(G(z)) < 0.1. D wins over some rows where nine in ten are confident. `image_checks` has those on images.
"""

import math
import statistics
from itertools import pairwise
from typing import NamedTuple

from gan.report.measurements import MissingData, logged, parts, tenth_means
from gan.report.runs import RunFolder

CONFIDENT, MOST_ROWS = 0.9, 0.9
NEGLIGIBLE = 0.01  # a smaller change of a loss cannot be seen in a figure
GAVE_UP = 0.02  # where D(x) is not this far above D(G(z)), D does not tell real images from fake ones


class CheckResult(NamedTuple):
    """Whether the claim held, None where the run does not decide it; and the numbers or the reason behind it."""

    held: bool | None
    evidence: str


def are_on_par(
    run: RunFolder, *, names: tuple[str, str], from_epoch: float, until_epoch: float, times: float
) -> CheckResult:
    """In nine of ten rows between two epochs the greater of two numbers is at most `times` the smaller."""
    pairs = list(zip(*(logged(run, name, from_epoch, until_epoch) for name in names), strict=True))
    count = sum(0 < max(pair) <= times * min(pair) for pair in pairs)
    medians = " and ".join(f"{statistics.median(column):.3g}" for column in zip(*pairs, strict=True))
    evidence = f"medians {medians}, on a par in {count} of {len(pairs)} rows"
    return CheckResult(count >= MOST_ROWS * len(pairs), evidence)


def stays_near(
    run: RunFolder, *, name: str, at: float, within: float, from_epoch: float, until_epoch: float
) -> CheckResult:
    """Between two epochs the number is never farther than `within` from `at`."""
    deviation = max(abs(value - at) for value in logged(run, name, from_epoch, until_epoch))
    return CheckResult(deviation <= within, f"at most {deviation:.2g} from {at:g}")


def does_not_fall(run: RunFolder, *, names: list[str], after_epoch: float) -> CheckResult:
    """After an epoch none of `names` falls visibly: see `visible_change`."""
    changes = {name: visible_change(run, name, after_epoch) for name in names}
    return CheckResult(not any(change < 0 for change, _ in changes.values()), describe_changes(changes))


def hardly_changes(run: RunFolder, *, names: list[str], after_epoch: float) -> CheckResult:
    """After an epoch none of `names` changes visibly: see `visible_change`."""
    changes = {name: visible_change(run, name, after_epoch) for name in names}
    return CheckResult(not any(change for change, _ in changes.values()), describe_changes(changes))


def visible_change(run: RunFolder, name: str, after_epoch: float) -> tuple[float, str]:
    """The change from the first third of the rows after an epoch to the last, 0 where it cannot be seen; and both.

    It can be seen where it is greater than 0.01 and than twice the mean standard deviation within these thirds, which
    is the height of the curve's own noise.
    """
    first, _, last = parts(logged(run, name, after_epoch), 3)
    change = statistics.fmean(last) - statistics.fmean(first)
    noise = (statistics.pstdev(first) + statistics.pstdev(last)) / 2
    text = f"{statistics.fmean(first):.3g} to {statistics.fmean(last):.3g} ± {noise:.2g}"
    return (change if abs(change) > max(2 * noise, NEGLIGIBLE) else 0.0), text


def describe_changes(changes: dict[str, tuple[float, str]]) -> str:
    return ", ".join(f"{name} {text}" for name, (_, text) in changes.items())


def does_not_converge(run: RunFolder, *, names: list[str], to: float, within: float) -> CheckResult:
    """Over the last tenth of the run not all of `names` come to rest near `to`: nine in ten of their rows `within`."""
    rows = list(zip(*(logged(run, name) for name in names), strict=True))
    rows = rows[-math.ceil(len(rows) / 10) :]
    count = sum(all(abs(value - to) <= within for value in row) for row in rows)
    means = " and ".join(f"{statistics.fmean(column):.3g}" for column in zip(*rows, strict=True))
    return CheckResult(count < MOST_ROWS * len(rows), f"{means} at the end, {count} of {len(rows)} rows near {to:g}")


def rises(run: RunFolder, *, name: str, after_epoch: float, times: float) -> CheckResult:
    """The mean over the last tenth of the run is at least `times` the mean until `after_epoch`."""
    before, (_, last) = statistics.fmean(logged(run, name, 0, after_epoch)), tenth_means(logged(run, name))
    return CheckResult(last >= times * before, f"{before:.3g} until epoch {after_epoch:g}, {last:.3g} at the end")


def settles(run: RunFolder, *, name: str, after_epoch: float, to: float) -> CheckResult:
    """After an epoch the number changes from row to row less and less, while D tells real images from fake ones.

    Less: on average over the last third of the rows at most a fraction `to` of what it does over the first.
    """
    first, last = (
        statistics.fmean(abs(after - before) for before, after in pairwise(part))
        for part in parts(logged(run, name, after_epoch), 3, at_least=2)[::2]
    )
    (_, real), (_, fake) = (tenth_means(logged(run, f"discriminator/{kind}")) for kind in ("real", "fake"))
    gave_up = real - fake < GAVE_UP
    evidence = f"changes by {first:.2g}, then {last:.2g} from row to row"
    ending = f"D gave up (D(x) {real:.3g}, D(G(z)) {fake:.3g})" if gave_up else "D goes on"
    return CheckResult(last <= to * first and not gave_up, f"{evidence}; {ending}")


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
    losses = [f"{player} {tenth_means(logged(run, name))[1]:.3g}" for player, name in
              (("D", "discriminator/loss"), ("G", "generator/loss"))]  # fmt: skip
    return CheckResult(False, f"finite in {step} steps, losses of {' and '.join(losses)} at the end")


def vanishes(run: RunFolder, *, name: str, below: float, until_epoch: float) -> CheckResult:
    """In the tenth of the rows before `until_epoch` D wins, and the median is below this fraction of the first row."""
    values, confident = logged(run, name, 0, until_epoch), confident_rows(run, until_epoch)
    count = math.ceil(len(values) / 10)
    last = statistics.median(values[-count:])
    wins = are_won(confident[-count:])
    evidence = f"{name} from {values[0]:.3g} to {last:.2g}, D {'wins' if wins else 'does not win'}"
    return CheckResult(wins and last < below * values[0], evidence)


def takes_hours(run: RunFolder, *, at_least: float) -> CheckResult:
    """Its training took so many hours or more, on the machine that the page names."""
    hours = run.status["seconds"] / 3600
    return CheckResult(hours >= at_least, f"{hours:.2g} hours, {run.status['machine'] or 'machine unknown'}")


def finds(run: RunFolder, *, findings: dict[str, list[str]]) -> CheckResult:
    """What followed the run found, for each name, one of these words (`findings` of status.json)."""
    found = {name: run.status["findings"].get(name) for name in findings}
    if missing := [name for name, value in found.items() if not isinstance(value, str)]:
        raise MissingData(f"it did not find {', '.join(missing)}")
    return CheckResult(
        all(found[name] in allowed for name, allowed in findings.items()),
        ", ".join(f"{name} {value}" for name, value in found.items()),
    )


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
    ending = f"D(x) {real:.3g}, D(G(z)) {fake:.3g} at the end"
    if not are_won(confident[-math.ceil(len(confident) / 10) :]):
        return None, f"D does not win, {ending}"
    epoch = next(row["epoch"] for i, row in enumerate(run.rows) if confident[i] and are_won(confident[i:]))
    return epoch, f"D wins from epoch {epoch:.3g} on, {ending}"
