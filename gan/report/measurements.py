"""Numbers of a run that checks read: logged values and scores. Raises MissingData where a run lacks them."""

import math
import statistics
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from gan.metrics.catalogue import PROTOCOL, find_column, protocol_line
from gan.report.runs import RunFolder, is_number


class MissingData(Exception):
    """The run lacks what a check reads; the message says what."""


class Score(NamedTuple):
    """A metric's column and value in a row of scores, which has the step and the protocol."""

    column: str
    value: float
    row: dict[str, Any]


def logged(run: RunFolder, name: str, from_epoch: float = 0, until_epoch: float = math.inf) -> list[float]:
    """The values logged between two epochs, at least one."""
    values = [row.get(name) for row in run.rows if from_epoch <= row["epoch"] <= until_epoch]
    if not values:
        raise MissingData(f"nothing was logged{between(from_epoch, until_epoch)}")
    numbers = [value for value in values if is_number(value)]
    if len(numbers) < len(values):
        raise MissingData(f"{name} is missing or not finite in some of the logged rows")
    return numbers


def tenth_means(values: list[float]) -> tuple[float, float]:
    """Means over the first and the last tenth of `values`."""
    count = math.ceil(len(values) / 10)
    return statistics.fmean(values[:count]), statistics.fmean(values[-count:])


def parts(values: list[float], count: int, at_least: int = 1) -> list[list[float]]:
    """The values in `count` parts of nearly equal length, `at_least` so many in each."""
    if len(values) < count * at_least:
        raise MissingData(f"{len(values)} logged rows are too few")
    ends = [round(index * len(values) / count) for index in range(count + 1)]
    return [values[start:end] for start, end in pairwise(ends)]


def read_scores(rows: Iterable[dict[str, Any]], metric: str) -> list[Score]:
    """The metric in each row that has it as a number, and a complete protocol."""
    columns = [(find_column(row, metric), row) for row in rows if set(PROTOCOL) <= row.keys()]
    return [Score(name, row[name], row) for name, row in columns if name and is_number(row[name])]


def training_scores(run: RunFolder, metric: str, from_epoch: float = 0, until_epoch: float = math.inf) -> list[Score]:
    """The scores computed during training between two epochs, at least one, all by the protocol of the last one."""
    scores = read_scores(run.training_scores, metric)
    comparable = [score for score in scores if protocol_line(score.row) == protocol_line(scores[-1].row)]
    scores = [score for score in comparable if from_epoch <= run.epoch_of(score.row["step"]) <= until_epoch]
    if not scores:
        raise MissingData(f"{metric} was not computed during training{between(from_epoch, until_epoch)}")
    return scores


def complete_scores(run: RunFolder, metric: str) -> list[Score]:
    """The scores computed during training, at least two, the last one at the end of the run."""
    scores = training_scores(run, metric)
    if len(scores) < 2 or scores[-1].row["step"] != run.status["step"]:
        raise MissingData(f"{metric} was not computed during training both before the end and at the end")
    return scores


def final_score(run: RunFolder, metric: str, images: int | None = None) -> Score:
    """The score of the last checkpoint, by gan.evaluate or during training, with `images` or else the most images.

    Of a run that diverged, the last one. Only scores against test images and with the dataset's own features count,
    since our thresholds are for those.
    """
    rows = [row for row in (*run.evaluations, *run.training_scores[::-1]) if is_number(row.get("step"))]
    diverged = run.status["state"] == "diverged"
    step = max((row["step"] for row in rows), default=0) if diverged else run.status["step"]
    rows = [row for row in rows if row["step"] == step]
    scores = [
        score
        for score in read_scores(rows, metric)
        if score.row["split"] == "test"
        and "inception" not in str(score.row["features"])
        and is_number(score.row["generated"])
        and images in (None, score.row["generated"])
    ]
    if not scores:
        command = f"python -m gan.evaluate run={run.folder}{f' n={images}' if images else ''}"
        raise MissingData(f"{metric} was not computed at the end: {command}")
    return max(scores, key=lambda score: score.row["generated"])


def between(from_epoch: float, until_epoch: float) -> str:
    return "" if math.isinf(until_epoch) else f" between epochs {from_epoch:g} and {until_epoch:g}"
