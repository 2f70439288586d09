"""What several seeds say about a claim."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

Z = 1.959964  # the normal quantile of a 95 % interval


class Verdict(NamedTuple):
    """In how many of the seeds that decide a claim it held.

    Args:
        pending: seeds that were chosen beforehand and have no run yet. Until they have, there is no verdict: to look
            after each seed, and to stop at one that suits, would find any of them too often.
        deterministic: whether all seeds give the same run, so that one decides.
    """

    held: int
    seeds: int
    pending: int = 0
    deterministic: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the fraction of seeds for which it holds (Wilson 1927); (0, 1) without seeds."""
        if not self.seeds:
            return 0.0, 1.0
        fraction, weight = self.held / self.seeds, Z**2 / self.seeds
        center = (fraction + weight / 2) / (1 + weight)
        half = math.sqrt(fraction * (1 - fraction) * weight + weight**2 / 4) / (1 + weight)
        return max(center - half, 0.0), min(center + half, 1.0)

    @property
    def kind(self) -> str:
        """The first that is true; three equal seeds are reported, but prove nothing."""
        low, high = self.interval
        if not self.seeds:
            return "not run"
        if self.pending:
            return "too few seeds"
        if self.deterministic:
            return "held" if self.held else "did not hold"
        if low > 1 / 2:
            return "held"
        if high < 1 / 2:
            return "did not hold"
        return "depends on the seed" if 0 < self.held < self.seeds else "too few seeds"

    def __str__(self) -> str:
        if self.kind != "too few seeds":
            return self.kind
        return f"{self.held} of {self.seeds} seeds" + (f", {self.pending} to run" if self.pending else "")

    @property
    def share(self) -> str:
        """`9 of 10 (0.60 to 0.98)`; without randomness there is no interval."""
        if not self.seeds:
            return "-"
        if self.deterministic:
            return "the same run with every seed"
        low, high = self.interval
        return f"{self.held} of {self.seeds} ({low:.2f} to {high:.2f})"


def count_verdicts(verdicts: Iterable[Verdict]) -> str:
    """`Of 40 claims 9 held, 11 did not hold, 2 depend on the seed, 5 have too few seeds, and 13 were not run.`"""
    kinds = Counter(verdict.kind for verdict in verdicts)
    return (
        f"Of {kinds.total()} claims {kinds['held']} held, {kinds['did not hold']} did not hold, "
        f"{kinds['depends on the seed']} depend{'s' if kinds['depends on the seed'] == 1 else ''} on the seed, "
        f"{kinds['too few seeds']} {'has' if kinds['too few seeds'] == 1 else 'have'} too few seeds, "
        f"and {kinds['not run']} {'was' if kinds['not run'] == 1 else 'were'} not run."
    )
