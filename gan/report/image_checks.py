"""Checks of claims on images, each by one or more readers: metrics that see different things.

A classifier's features (FID, coverage) take speckled digits for nothing known; `pixel_precision` sees neither sharpness
nor variety; Parzen favors blur. So where the readers of a claim disagree, the run does not decide it, and says so.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

from PIL import ImageChops, ImageStat

from gan.metrics.catalogue import direction, protocol_line
from gan.report.checks import CheckResult
from gan.report.measurements import MissingData, Score, complete_scores, final_score, training_scores
from gan.report.runs import RunFolder
from gan.system.images import read_image

GRIDS = 10  # sample grids that are compared, the last ones


def scores_within(
    run: RunFolder,
    *,
    readers: dict[str, dict[str, float]],
    images: int | None = None,
    epochs: tuple[float, float] | None = None,
) -> CheckResult:
    """Each metric is in its range: the final one, of `images` generated images if given, or the mean of some epochs.

    Args:
        readers: for each metric `at_least`, `at_most` or both.
        epochs: from and until which the mean is taken.
    """
    opinions = {}
    for metric, allowed in readers.items():
        if epochs is None:
            column, value, _ = final_score(run, metric, images)
        else:
            scores = training_scores(run, metric, *epochs)
            column, value = scores[0].column, statistics.fmean(score.value for score in scores)
        inside = allowed.get("at_least", -math.inf) <= value <= allowed.get("at_most", math.inf)
        opinions[f"{column} {value:.4g}"] = inside
    return agree(opinions)


def improves(
    run: RunFolder,
    *,
    from_epoch: float,
    until_epoch: float,
    by: dict[str, float],
    unless: dict[str, float] | None = None,
) -> CheckResult:
    """The images at the end are better than those between two epochs: see `compare`."""
    metrics = [*by, *(unless or {})]
    return compare(*changes(run, metrics, from_epoch, until_epoch), by, unless)


def hardly_improves(run: RunFolder, *, from_epoch: float, until_epoch: float, by: dict[str, float]) -> CheckResult:
    """The images at the end are not better than those between two epochs: the opposite of `improves`."""
    held, evidence = improves(run, from_epoch=from_epoch, until_epoch=until_epoch, by=by)
    return CheckResult(None if held is None else not held, evidence)


def deteriorates(run: RunFolder, *, from_epoch: float, until_epoch: float, by: dict[str, float]) -> CheckResult:
    """The images at the end are worse than those between two epochs, by as much for each metric as `by` says."""
    early, late = changes(run, list(by), from_epoch, until_epoch)
    worse = {name: -improvement(early[name], late[name]) >= least for name, least in by.items()}
    return agree({f"{describe(early[name], late[name])}": each for name, each in worse.items()})


def beats(
    run: RunFolder,
    *,
    baselines: Sequence[RunFolder],
    by: dict[str, float],
    unless: dict[str, float] | None = None,
    slack: float | None = None,
) -> CheckResult:
    """Its final images are better than those of each baseline: see `compare`.

    Args:
        slack: if given, training took at most this fraction longer than the baseline's, on the same machine.
    """
    results = [beats_one(run, baseline, by, unless, slack) for baseline in baselines]
    outcomes = [result.held for result in results]
    held = False if False in outcomes else None if None in outcomes else True
    return CheckResult(held, "; ".join(result.evidence for result in results))


def beats_one(
    run: RunFolder, baseline: RunFolder, by: dict[str, float], unless: dict[str, float] | None, slack: float | None
) -> CheckResult:
    """`beats` for one baseline."""
    metrics = [*by, *(unless or {})]
    ours, theirs = ({name: final_score(each, name) for name in metrics} for each in (run, baseline))
    for name in metrics:
        if protocol_line(ours[name].row) != protocol_line(theirs[name].row):
            raise MissingData(f"its scores have another protocol than those of {baseline.name}")
    result = compare(theirs, ours, by, unless)
    if slack is None:
        return result
    if run.status["machine"] != baseline.status["machine"]:
        raise MissingData(f"it was trained on another machine than {baseline.name}")
    in_time = run.status["seconds"] <= (1 + slack) * baseline.status["seconds"]
    times = f"{baseline.status['seconds'] / 60:.1f} to {run.status['seconds'] / 60:.1f} minutes"
    return CheckResult(result.held if in_time else False, f"{result.evidence}, {times}")


def grids_differ(run: RunFolder, *, by: float) -> CheckResult:
    """The images of the fixed noise differ from each grid to the next, over the last ten grids.

    The median of the root mean square difference of successive grids is at least `by` times the standard deviation of
    their pixels: 0 for the same images, 1.41 for unrelated ones. It cannot see whether a digit or its noise changed.
    """
    images = [run.read(read_image, f"samples/{path.name}") for path in run.sample_grids[-GRIDS:]]
    grids = [image.convert("L") for image in images if image is not None]
    if len(grids) < GRIDS:
        raise MissingData(f"it has {len(grids)} sample grids that can be read, not {GRIDS}")
    ratios = []
    for before, after in pairwise(grids):
        spread = max(ImageStat.Stat(grid).stddev[0] for grid in (before, after))
        difference = ImageStat.Stat(ImageChops.difference(before, after)).rms[0]
        ratios.append(difference / spread if spread else 0.0)
    ratio = statistics.median(ratios)
    return CheckResult(ratio >= by, f"successive grids differ by {ratio:.2g} standard deviations")


def changes(
    run: RunFolder, metrics: list[str], from_epoch: float, until_epoch: float
) -> tuple[dict[str, Score], dict[str, Score]]:
    """Each metric's mean between two epochs, and its value at the end, by the same protocol."""
    early, late = {}, {}
    for name in metrics:
        *_, late[name] = complete_scores(run, name)
        scores = training_scores(run, name, from_epoch, until_epoch)
        early[name] = scores[0]._replace(value=statistics.fmean(score.value for score in scores))
    return early, late


def compare(
    before: dict[str, Score], after: dict[str, Score], by: dict[str, float], unless: dict[str, float] | None
) -> CheckResult:
    """Whether all metrics of `by` improve by that much. A metric of `unless` that says the opposite leaves it open.

    Args:
        unless: readers for images that may be good already: each abstains where it changes by less than this.
    """
    opinions: dict[str, bool | None] = {}
    for name, least in by.items():
        opinions[describe(before[name], after[name])] = improvement(before[name], after[name]) >= least
    for name, least in (unless or {}).items():
        change = improvement(before[name], after[name])
        opinions[describe(before[name], after[name])] = change > 0 if abs(change) >= least else None
    return agree(opinions)


def improvement(before: Score, after: Score) -> float:
    """By how much a metric gets better: as a fraction of what it was where lower is better, else the difference."""
    if direction(before.column) == "higher":
        return after.value - before.value
    return (before.value - after.value) / before.value if before.value else 0.0


def agree(opinions: Mapping[str, bool | None]) -> CheckResult:
    """The common opinion of all readers that have one; open where they disagree. By what each of them saw."""
    evidence, said = ", ".join(opinions), {opinion for opinion in opinions.values() if opinion is not None}
    if len(said) != 1:
        return CheckResult(None, f"the readers disagree: {evidence}")
    return CheckResult(said.pop(), evidence)


def describe(before: Score, after: Score) -> str:
    """`fid_mnist 63.2 to 3.63`."""
    return f"{before.column} {before.value:.3g} to {after.value:.3g}"
