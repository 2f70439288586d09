"""Ways to hold a claim against a run. Each takes a run and numbers, and says whether the claim held, and what decides.

All look at the files of the run alone, and raise Missing where it does not have what they look at. D is sure in a
logged row where D(x) > 0.9 and D(G(z)) < 0.1, and wins where it is sure in nine rows of ten.
"""

import math
import statistics
from itertools import pairwise
from typing import Any, NamedTuple

from gan.metrics.catalogue import PROTOCOL, protocol_line
from gan.report.runs import RunFolder

SURE, MOSTLY = 0.9, 0.9
NOTHING = 0.01  # a loss below this lies at 0 in any figure


class Missing(Exception):
    """The run does not have what a check looks at; the message says what."""


class Found(NamedTuple):
    """Whether a claim held in a run, and the figure that decides, in words."""

    held: bool
    figure: str


def level(
    run: RunFolder, *, names: list[str], from_epoch: float, until_epoch: float, within: float, at: float | None = None
) -> Found:
    """Between two epochs each of `names` stays near its median, or near `at`, and does not rise or fall on the whole.

    `within` is the share of that by which a number may be off it, or its first tenth off its last. What moves
    by less than 0.01 does not move.
    """
    held, words = True, []
    for name in names:
        values = logged(run, name, from_epoch, until_epoch)
        median, (first, last) = statistics.median(values), tenths(values)
        middle, whose = (median, "it") if at is None else (at, f"{at:g}")
        off = max(abs(value - middle) for value in values)
        held = held and max(off, abs(last - first)) <= max(within * abs(middle), NOTHING)
        near = f"{name} has the median {median:.3g}, is off {whose} by {off:.2g} at most"
        words.append(f"{near}, and goes from {first:.3g} to {last:.3g}")
    return Found(held, f"between epochs {from_epoch:g} and {until_epoch:g} {'; '.join(words)}")


def does_not_fall(run: RunFolder, *, names: list[str], by: float) -> Found:
    """No mean of `names` over the last tenth of the run is lower than over the first tenth by the share `by`."""
    ends = {name: tenths(logged(run, name)) for name in names}
    words = [f"{name} goes from {first:.3g} to {last:.3g}" for name, (first, last) in ends.items()]
    held = all(last > (1 - by) * first for first, last in ends.values())
    return Found(held, f"{' and '.join(words)} (means of the first and the last tenth of the run)")


def climbs(run: RunFolder, *, name: str, after_epoch: float, times: float) -> Found:
    """The mean over the last tenth of the run is at least `times` what it was until `after_epoch`."""
    before, (_, last) = statistics.fmean(logged(run, name, 0, after_epoch)), tenths(logged(run, name))
    words = f"{name} is {before:.3g} until epoch {after_epoch:g}, and {last:.3g} in the last tenth of the run (means)"
    return Found(last >= times * before, words)


def ordered(run: RunFolder, *, greatest_first: list[str | float], share: float) -> Found:
    """In at least this `share` of the logged rows the numbers named, or written, come in this order."""
    names = [name for name in greatest_first if isinstance(name, str)]
    columns = {name: logged(run, name) for name in names}
    rows = zip(*(columns.get(name, [name] * len(run.rows)) for name in greatest_first), strict=True)
    kept = sum(all(upper > lower for upper, lower in pairwise(row)) for row in rows)
    words = [f"{name} lies in {min(values):.3g} to {max(values):.3g}" for name, values in columns.items()]
    return Found(
        kept >= share * len(run.rows), f"it is so in {kept} of {len(run.rows)} logged rows; {' and '.join(words)}"
    )


def discriminator_wins(run: RunFolder, *, from_epoch: float, until_epoch: float) -> Found:
    """D wins for good, and the epoch from which on it does lies between these two."""
    won, words = victory(run)
    return Found(won is not None and from_epoch <= won <= until_epoch, words)


def nobody_wins(run: RunFolder) -> Found:
    """D does not win over the last tenth of the run."""
    won, words = victory(run)
    return Found(won is None, words)


def diverges(run: RunFolder, *, from_step: int) -> Found:
    """A loss or a gradient is no finite number any more, at `from_step` or later, and that ends the run."""
    state, step = run.status["state"], run.status["step"]
    if state == "diverged":
        return Found(step >= from_step, run.status["error"] or f"diverged at step {step}")
    losses = (f"{player}/loss" for player in ("discriminator", "generator"))
    last = ", ".join(f"{name} {tenths(logged(run, name))[1]:.3g}" for name in losses)
    return Found(False, f"no loss and no gradient became NaN in {step} steps ({last} in the last tenth of the run)")


def vanishes(run: RunFolder, *, name: str, below: float, until_epoch: float) -> Found:
    """Over the tenth of the rows before `until_epoch` D wins, and the median is below a share of the first row."""
    values, sure = logged(run, name, 0, until_epoch), surely(run, until_epoch)
    some = math.ceil(len(values) / 10)
    last = statistics.median(values[-some:])
    words = f"{name} goes from {values[0]:.3g} to {last:.2g} at epoch {until_epoch:g}"
    won = wins(sure[-some:])
    return Found(won and last < below * values[0], f"{words}, where D {'wins' if won else 'does not win'}")


def score(
    run: RunFolder,
    *,
    name: str,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    images: int | None = None,
    epochs: tuple[float, float] | None = None,
) -> Found:
    """The score at the end of the run, or the mean of those taken between two `epochs`, lies within bounds.

    That at the end should have been taken with so many `images`, where their number moves it.
    """
    if epochs is None:
        value, when = at_end(run, name, images)[name], "at the end"
    else:
        value = statistics.fmean(row[name] for row in taken_in_training(run, name, *epochs))
        when = f"on average between epochs {epochs[0]:g} and {epochs[1]:g}"
    return Found(at_least <= value <= at_most, f"{name} {value:.4g} {when}")


def hardly_improves(run: RunFolder, *, from_epoch: float, until_epoch: float, by: float) -> Found:
    """The last FID is not lower by the share `by` than the first one taken between two epochs."""
    early, *_ = taken_in_training(run, "fid", from_epoch, until_epoch)
    *_, last = until_the_end(run, "fid")
    return Found(last["fid"] > (1 - by) * early["fid"], f"FID {two(run, early, last)}")


def falls_apart(run: RunFolder, *, times: float) -> Found:
    """The last FID is at least `times` the least before it."""
    *before, last = until_the_end(run, "fid")
    best = min(before, key=lambda row: row["fid"])
    return Found(last["fid"] >= times * best["fid"], f"FID {two(run, best, last)}")


def beats(run: RunFolder, *, than: RunFolder, by: float, slack: float) -> Found:
    """Its FID is lower than the other's by the share `by`, and it took no longer, but for the share `slack`."""
    rows = at_end(run, "fid"), at_end(than, "fid")
    if protocol_line(rows[0]) != protocol_line(rows[1]):
        raise Missing(f"its scores were not taken as those of {than.name}")
    if run.status["machine"] != than.status["machine"]:
        raise Missing(f"it was not trained on the machine of {than.name}")
    (ours, theirs), (took, other) = (row["fid"] for row in rows), (each.status["seconds"] for each in (run, than))
    words = f"FID {ours:.3g} after {minutes(run)}, and {theirs:.3g} after {minutes(than)} in {than.name}"
    return Found(ours <= (1 - by) * theirs and took <= (1 + slack) * other, words)


def logged(run: RunFolder, name: str, from_epoch: float = 0, until_epoch: float = math.inf) -> list[float]:
    """What was logged between two epochs, one number or more."""
    found = [row.get(name) for row in run.rows if from_epoch <= row["epoch"] <= until_epoch]
    if not found:
        raise Missing(f"nothing was logged {between(from_epoch, until_epoch)}")
    if not all(isinstance(value, (int, float)) for value in found):
        raise Missing(f"{name} was not logged in every row, or was no finite number")
    return found


def tenths(values: list[float]) -> tuple[float, float]:
    """Means over the first and the last tenth of `values`."""
    some = math.ceil(len(values) / 10)
    return statistics.fmean(values[:some]), statistics.fmean(values[-some:])


def surely(run: RunFolder, until_epoch: float = math.inf) -> list[bool]:
    """In which rows D is sure."""
    real, fake = (logged(run, f"discriminator/{which}", 0, until_epoch) for which in ("real", "fake"))
    return [x > SURE and z < 1 - SURE for x, z in zip(real, fake, strict=True)]


def wins(sure: list[bool]) -> bool:
    return sum(sure) >= MOSTLY * len(sure)


def victory(run: RunFolder) -> tuple[float | None, str]:
    """The epoch from which on D wins; None where it does not over the last tenth of the run. And the same in words."""
    sure = surely(run)
    (_, real), (_, fake) = (tenths(logged(run, f"discriminator/{which}")) for which in ("real", "fake"))
    ending = f"D(x) {real:.3g} and D(G(z)) {fake:.3g} over the last tenth of the run"
    if not wins(sure[-math.ceil(len(sure) / 10) :]):
        return None, f"D has not won ({ending})"
    won = next(row["epoch"] for index, row in enumerate(run.rows) if sure[index] and wins(sure[index:]))
    return won, f"D wins from epoch {won:.3g} on ({ending})"


def taken_in_training(
    run: RunFolder, name: str, from_epoch: float = 0, until_epoch: float = math.inf
) -> list[dict[str, Any]]:
    """Rows of scores between two epochs, one or more, all taken as the last one was."""
    rows = [row for row in run.scored if set(PROTOCOL) <= row.keys() and numeric(row, name)]
    alike = [row for row in rows if protocol_line(row) == protocol_line(rows[-1])]
    found = [row for row in alike if from_epoch <= run.epoch_of(row["step"]) <= until_epoch]
    if not found:
        raise Missing(f"{name} was not taken in training {between(from_epoch, until_epoch)}")
    return found


def until_the_end(run: RunFolder, name: str) -> list[dict[str, Any]]:
    """Rows of scores in training, two or more, all taken as the last one was, which is of the end of the run."""
    rows = taken_in_training(run, name)
    if len(rows) < 2 or rows[-1]["step"] != run.status["step"]:
        raise Missing(f"{name} was not taken in training both before the end and there")
    return rows


def at_end(run: RunFolder, name: str, images: int | None = None) -> dict[str, Any]:
    """The scores of the last checkpoint, by gan.evaluate or in training: those of so many images, or of the most.

    Against training images, or with Inception's features, a score has other values than those our bounds are for.
    """
    rows = [row for row in (*run.evaluated, *run.scored[::-1]) if row.get("step") == run.status["step"]]
    whole = [row for row in rows if set(PROTOCOL) <= row.keys() and numeric(row, name) and numeric(row, "generated")]
    fair = [row for row in whole if row["split"] == "test" and "inception" not in str(row["features"])]
    fair = [row for row in fair if images in (None, row["generated"])]
    if not fair:
        how = f"python -m gan.evaluate run={run.folder}{f' n={images}' if images else ''}"
        raise Missing(f"{name} was not taken at the end: {how}")
    return max(fair, key=lambda row: row["generated"])


def numeric(row: dict[str, Any], name: str) -> bool:
    """Whether a row of scores, which may be anything, has a number of this name."""
    return isinstance(row.get(name), (int, float))


def between(from_epoch: float, until_epoch: float) -> str:
    """Two epochs in words."""
    return "at all" if math.isinf(until_epoch) else f"between epochs {from_epoch:g} and {until_epoch:g}"


def minutes(run: RunFolder) -> str:
    """How long it trained."""
    return f"{run.status['seconds'] / 60:.1f} minutes"


def two(run: RunFolder, early: dict[str, Any], late: dict[str, Any]) -> str:
    """Two FIDs with their epochs."""
    return " and ".join(f"{row['fid']:.3g} at epoch {run.epoch_of(row['step']):.3g}" for row in (early, late))
