"""Ways to hold a claim against a run. Each takes a run and numbers, and says whether the claim held, and what decides.

All look at the files of the run alone. D is said to win where, in a logged mean, D(x) > 0.9 and D(G(z)) < 0.1.

Each raises Missing where the run does not have what it looks at.
"""

import math
import statistics
from itertools import pairwise
from typing import NamedTuple

from gan.report.runs import Run

REAL, FAKE = "discriminator/real", "discriminator/fake"
SURE = 0.9


class Missing(Exception):
    """The run has not what a check looks at; the message says what."""


class Found(NamedTuple):
    """Whether a claim held in a run, and the figure that decides, in words."""

    held: bool
    figure: str


def level(run: Run, *, names: list[str], from_epoch: float, until_epoch: float, within: float) -> Found:
    """Each of `names` stays near its median between two epochs: never further from it than the share `within`."""
    furthest = {}
    for name in names:
        values = [value for _, value in series(run, name, from_epoch, until_epoch)]
        middle = statistics.median(values)
        furthest[name] = max(abs(value - middle) for value in values) / abs(middle), middle
    words = [f"{name} is within {share:.0%} of {middle:.3g}" for name, (share, middle) in furthest.items()]
    span = f"between epochs {from_epoch:g} and {min(until_epoch, run.status['epoch']):g}"
    return Found(all(share <= within for share, _ in furthest.values()), f"{span} {' and '.join(words)}")


def does_not_fall(run: Run, *, names: list[str], by: float) -> Found:
    """No mean of `names` over the last tenth of the run is lower than over the first tenth by the share `by`."""
    ends = {name: tenths(run, name) for name in names}
    words = [f"{name} goes from {first:.3g} to {last:.3g}" for name, (first, last) in ends.items()]
    held = all(last > (1 - by) * first for first, last in ends.values())
    return Found(held, f"{' and '.join(words)} (means of the first and the last tenth of the run)")


def climbs(run: Run, *, name: str, after_epoch: float, times: float) -> Found:
    """The mean over the last tenth of the run is at least `times` what it was until `after_epoch`."""
    before = statistics.fmean(value for _, value in series(run, name, 0, after_epoch))
    _, last = tenths(run, name)
    words = (
        f"{name} is {before:.3g} on average until epoch {after_epoch:g}, and {last:.3g} in the last tenth of the run"
    )
    return Found(last >= times * before, words)


def ordered(run: Run, *, greatest_first: list[str | float], from_epoch: float) -> Found:
    """In every logged row the numbers named, or written, come in this order."""
    rows = [row for row in run.rows if row["epoch"] >= from_epoch]
    kept, edges = 0, {name: [] for name in greatest_first if isinstance(name, str)}
    for row in rows:
        values = [logged(row, name) if isinstance(name, str) else name for name in greatest_first]
        kept += all(upper > lower for upper, lower in pairwise(values))
        for name in edges:
            edges[name].append(logged(row, name))
    if not rows:
        raise Missing(f"nothing was logged from epoch {from_epoch:g} on")
    words = [f"{name} lies in {min(values):.3g} to {max(values):.3g}" for name, values in edges.items()]
    return Found(kept == len(rows), f"so in {kept} of {len(rows)} logged rows; {' and '.join(words)}")


def discriminator_wins(run: Run, *, from_epoch: float, until_epoch: float) -> Found:
    """D wins for good, and the epoch from which on it does lies between these two."""
    won, words = victory(run)
    return Found(won is not None and from_epoch <= won <= until_epoch, words)


def nobody_wins(run: Run) -> Found:
    """D has not won by the end."""
    won, words = victory(run)
    return Found(won is None, words)


def diverges(run: Run, *, from_step: int) -> Found:
    """A loss or a gradient is no finite number any more, at `from_step` or later, and that ends the run."""
    state, step = run.status["state"], run.status["step"]
    if state == "diverged":
        return Found(step >= from_step, run.status["error"] or f"diverged at step {step}")
    last = ", ".join(f"{name} {value:.3g}" for name, value in run.status["last"].items() if name.endswith("/loss"))
    return Found(False, f"no loss and no gradient became NaN in {step} steps ({last} at the end)")


def vanishes(run: Run, *, name: str, below: float, until_epoch: float) -> Found:
    """The number falls below a share of what it was at first, before `until_epoch`, in a row where D wins."""
    (_, first), *_ = found = series(run, name, 0, until_epoch)
    winning = {row["epoch"] for row in run.rows if wins(row)}
    least, at = min(((value, epoch) for epoch, value in found if epoch in winning), default=(math.inf, None))
    if at is None:
        return Found(False, f"D does not win before epoch {until_epoch:g}")
    words = f"{name} falls from {first:.3g} to {least:.3g} at epoch {at:.2g}, where D wins"
    return Found(least < below * first, words)


def score(
    run: Run,
    *,
    name: str,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    epochs: list[float] | None = None,
) -> Found:
    """The last score of the run, or the mean of those taken between two `epochs`, lies within bounds."""
    if epochs is None:
        value, words = last_score(run, name), ""
    else:
        value = statistics.fmean(value for _, value in scores(run, name, *epochs))
        words = f" on average between epochs {epochs[0]:g} and {epochs[1]:g}"
    return Found(at_least <= value <= at_most, f"{name} {value:.4g}{words}")


def hardly_improves(run: Run, *, from_epoch: float, by: float) -> Found:
    """The last FID is not lower than the first one from `from_epoch` on by the share `by`."""
    (epoch, early), *_, (last_epoch, last) = 2 * scores(run, "fid", from_epoch)
    words = f"FID {early:.3g} at epoch {epoch:g} and {last:.3g} at epoch {last_epoch:g}"
    return Found(last > (1 - by) * early, words)


def falls_apart(run: Run, *, times: float) -> Found:
    """The last FID is at least `times` the least there was."""
    found = scores(run, "fid")
    (best_epoch, best), (last_epoch, last) = min(found, key=lambda pair: pair[1]), found[-1]
    return Found(last >= times * best, f"FID {best:.3g} at epoch {best_epoch:g} and {last:.3g} at epoch {last_epoch:g}")


def beats(run: Run, *, than: Run, by: float, slack: float) -> Found:
    """Its FID is lower than the other's by the share `by`, and it took no longer, but for the share `slack`."""
    ours, theirs = last_score(run, "fid"), last_score(than, "fid")
    if run.protocol != than.protocol:
        raise Missing(f"its scores were not taken as those of {than.name}")
    if run.status["machine"] != than.status["machine"]:
        raise Missing(f"it was not trained on the machine of {than.name}")
    took, other = run.status["seconds"], than.status["seconds"]
    words = f"FID {ours:.3g} after {took / 60:.0f} minutes, and {theirs:.3g} after {other / 60:.0f} in {than.name}"
    return Found(ours <= (1 - by) * theirs and took <= (1 + slack) * other, words)


def logged(row: dict, name: str) -> float:
    """A number of a row. One that was no number, as in a run that diverged, is no bound."""
    if not isinstance(value := row.get(name), (int, float)):
        raise Missing(f"it logged no {name}")
    return value


def series(run: Run, name: str, from_epoch: float, until_epoch: float) -> list[tuple[float, float]]:
    """What was logged between two epochs, as pairs of epoch and number, one or more."""
    found = [(row["epoch"], logged(row, name)) for row in run.rows if from_epoch <= row["epoch"] <= until_epoch]
    if not found:
        raise Missing(f"nothing was logged between epochs {from_epoch:g} and {until_epoch:g}")
    return found


def tenths(run: Run, name: str) -> tuple[float, float]:
    """Means over the first and the last tenth of what was logged."""
    values = [value for _, value in series(run, name, 0, math.inf)]
    some = math.ceil(len(values) / 10)
    return statistics.fmean(values[:some]), statistics.fmean(values[-some:])


def wins(row: dict) -> bool:
    return logged(row, REAL) > SURE and logged(row, FAKE) < 1 - SURE


def victory(run: Run) -> tuple[float | None, str]:
    """The epoch from which on D wins in every row; None if it does not in the last one. And the same in words."""
    if not run.rows:
        raise Missing("nothing was logged")
    won = None
    for row in reversed(run.rows):
        if not wins(row):
            break
        won = row["epoch"]
    last = run.rows[-1]
    at_end = f"D(x) {last[REAL]:.3g} and D(G(z)) {last[FAKE]:.3g} at the end"
    return won, f"D has not won ({at_end})" if won is None else f"D wins from epoch {won:.3g} on ({at_end})"


def scores(run: Run, name: str, from_epoch: float = 0, until_epoch: float = math.inf) -> list[tuple[float, float]]:
    """The scores taken in training between two epochs, as pairs of epoch and number, one or more."""
    taken = [(run.epoch_of(row["step"]), row[name]) for row in run.scored if isinstance(row.get(name), (int, float))]
    found = [(epoch, value) for epoch, value in taken if from_epoch <= epoch <= until_epoch]
    if not found:
        raise Missing(f"no {name} was taken between epochs {from_epoch:g} and {until_epoch:g}")
    return found


def last_score(run: Run, name: str) -> float:
    """By gan.evaluate, or else in training."""
    if name not in run.scores:
        raise Missing(f"{name} was not taken: python -m gan.evaluate run={run.folder}")
    return run.scores[name]
