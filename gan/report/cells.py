"""Numbers in a table: the mean over seeds, the spread beside it, and which is best."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

from gan.metrics.catalogue import direction

DIGITS = 3  # significant ones; whole numbers keep all of theirs


class Number(NamedTuple):
    """A mean, and the standard deviation if it is one of several numbers."""

    mean: float
    spread: float | None = None

    def __str__(self) -> str:
        return format_number(self.mean) + (f" ± {format_number(self.spread, 2)}" if self.spread else "")


def format_number(value: float, digits: int = DIGITS) -> str:
    """A number with some significant digits, and in full if it is whole or large: 3.10, 0.00120, 4.50e-06, 1,234."""
    is_whole = float(value).is_integer() or abs(value) >= 10 ** (digits - 1)
    return f"{value:,.0f}" if is_whole and abs(value) < 1e9 else f"{value:#.{digits}g}"


def mean_over(values: Iterable[float | None]) -> Number | None:
    """The mean and spread of the finite values; None where there is none."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return None
    return Number(statistics.fmean(finite), statistics.stdev(finite) if len(finite) > 1 else None)


def best(column: str, numbers: Iterable[Number | None]) -> float | None:
    """The best mean in a column; None where neither direction is better, or there is nothing to compare."""
    means = [number.mean for number in numbers if number is not None]
    better = direction(column)
    if better is None or len(means) < 2:
        return None
    return min(means) if better == "lower" else max(means)
