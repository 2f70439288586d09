"""MetricAccumulator in a table: the mean over seeds, the spread beside it, and which is best."""

import math
import statistics
from collections.abc import Iterable
from typing import Any, NamedTuple

BETTER = {  # of two generators, by each score that orders them
    "fid": min,
    "kid": min,
    "precision": max,
    "recall": max,
    "coverage": max,
    "inception_score": max,
    "modes": max,
    "modes_in_100": max,
    "class_distance": min,
    "kl": min,
    "parzen": max,
}

# The same where two scores may be compared.
PROTOCOL = ("dataset", "features", "accuracy", "generated", "real", "split")


class Number(NamedTuple):
    """A mean, and the standard deviation where it is one of several numbers."""

    mean: float
    spread: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.4g}" + (f" ± {self.spread:.2g}" if self.spread else "")


def mean_over(values: Iterable[float | None]) -> Number | None:
    """The mean and spread of those that are there and finite; None where none is."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    if not found:
        return None
    return Number(statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None)


def best(name: str, numbers: Iterable[Number | None]) -> float | None:
    """The best mean in the column of the score `name`; None where there is no better, or nothing to compare."""
    means = [number.mean for number in numbers if number is not None]
    return BETTER[name](means) if name in BETTER and len(means) > 1 else None


def protocol_line(record: dict[str, Any]) -> str:
    """How scores were taken, on a line."""
    known = dict.fromkeys(PROTOCOL, "?") | record
    return "{features}, {generated} generated against {real} of {dataset}, {split}".format(**known)
