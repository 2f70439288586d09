"""What a report says about a list of runs, whatever the form: groups, table, baseline, matrices and problems."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gan.metrics.catalogue import HEADLINES, direction, metric_of
from gan.report.cells import Number, best
from gan.report.groups import Group, differing_settings, group_runs
from gan.report.runs import Column, RunFolder

ROW_SETTING, COLUMN_SETTING = "model", "optim"  # the axes of the sample matrix, where they were swept
MANY_VALUES = 6  # of a setting, which a page is not wide enough for


@dataclass(frozen=True)
class Matrix:
    """Groups in a grid by two settings: `cells` has a row for each of `row_labels`; None where nothing was run."""

    title: str
    row_labels: list[str]
    column_labels: list[str]
    cells: list[list[Group | None]]


def is_headline(column: Column) -> bool:
    """Whether it is of the metric that decides which run is best."""
    return column.protocol is not None and metric_of(column.name) in HEADLINES


class Report:
    """The content of the report about `runs`; paths in it are relative to the folder `out`."""

    def __init__(self, runs: list[RunFolder], out: Path) -> None:
        self.runs, self.out, self.groups = runs, out, group_runs(runs)
        self.settings = [name for name in differing_settings(runs) if name != "seed"]
        self.largest_group = max(len(group.counted) for group in self.groups)
        self.machines = list(dict.fromkeys(run.status["machine"] for run in runs if run.status["machine"]))
        self.results = [group.results for group in self.groups]
        self.real_data: dict[Column, float] = {}
        for run in runs:
            for column, value in run.real_data.items():
                self.real_data.setdefault(column, value)
        self.protocols = list(dict.fromkeys(run.protocol for run in runs if run.protocol))
        columns = list(dict.fromkeys(column for results in self.results for column in results))
        self.headline = self.find_headline(columns)
        self.columns = sorted(columns, key=self.column_order)
        self.best = {
            column: best(column.name, (results.get(column) for results in self.results)) for column in self.columns
        }

    @property
    def title(self) -> str:
        if len(self.runs) <= 2:
            return " and ".join(run.name for run in self.runs)
        return f"{len(self.runs)} runs in {self.out.resolve().name}"

    @property
    def states(self) -> dict[str, int]:
        """How many runs are in each state, the most frequent first."""
        states = [run.status["state"] for run in self.runs]
        return dict(
            sorted(((state, states.count(state)) for state in dict.fromkeys(states)), key=lambda pair: -pair[1])
        )

    def find_headline(self, columns: list[Column]) -> Column | None:
        """The column that decides which run is best: the FID, or distance of points, that most groups have."""
        candidates = [column for column in columns if is_headline(column)]
        return max(candidates, key=lambda column: sum(column in results for results in self.results), default=None)

    def column_order(self, column: Column) -> tuple[bool, bool, bool, int]:
        """Sort key: the headline, its likes by other protocols, other scores by protocol, and what is no score."""
        number = self.protocols.index(column.protocol) if column.protocol else 0
        return column.protocol is None, column != self.headline, not is_headline(column), number

    def ranked(self) -> list[Group]:
        """The groups that have the headline score, the best first. A score of before a run diverged does not count."""
        scores = [
            (score.mean, number)
            for number, group in enumerate(self.groups)
            if (score := self.score(group)) and group.state not in ("diverged", "failed")
        ]
        is_reversed = self.headline is not None and direction(self.headline.name) == "higher"
        return [self.groups[number] for _, number in sorted(scores, reverse=is_reversed)]

    def by_rank(self) -> list[Group]:
        """All groups: the best first, then those without a score."""
        ranked = self.ranked()
        return [*ranked, *(group for group in self.groups if group not in ranked)]

    def score(self, group: Group) -> Number | None:
        """The headline score of a group."""
        return group.results.get(self.headline) if self.headline else None

    def number(self, run: RunFolder, column: Column) -> Number | None:
        """A number of one run."""
        value = run.results.get(column)
        return None if value is None else Number(value)

    def heading(self, column: Column) -> str:
        """The heading of a column: `fid_mnist`, or `fid_mnist [2]` for the second of several protocols."""
        return column.name + self.mark(column.protocol)

    def mark(self, protocol: str | None) -> str:
        """The footnote mark of a protocol, such as ` [2]`; empty where there is only one."""
        return f" [{self.protocols.index(protocol) + 1}]" if protocol and len(self.protocols) > 1 else ""

    def footnotes(self, escape: Callable[[str], str] = str) -> list[str]:
        """The protocols of the scores, and the runs that are left out of means, a sentence each."""
        sentences = [f"Scores{self.mark(protocol)}: {escape(protocol)}." for protocol in self.protocols]
        repeats = [escape(run.name) for group in self.groups for run in group.runs if run not in group.counted]
        if repeats:
            sentences.append(f"Not counted, as another run has the same settings and seed: {', '.join(repeats)}.")
        return sentences

    def rows(self) -> Iterator[tuple[Group, list[tuple[Number | None, bool]]]]:
        """Each group with its numbers, and whether each is the best of its column."""
        for group, results in zip(self.groups, self.results, strict=True):
            numbers = [(results.get(column), self.best[column]) for column in self.columns]
            yield group, [(number, number is not None and number.mean == best_mean) for number, best_mean in numbers]

    @property
    def is_grid(self) -> bool:
        """Whether the groups fill most of a grid of two or more settings."""
        values = [len({group.settings[name] for group in self.groups}) for name in self.settings]
        return len(values) > 1 and math.prod(values) <= 1.5 * len(self.groups) + 1

    def matrices(self) -> list[Matrix]:
        """The groups in a grid by two of the settings in which they differ, one grid for each choice of the others.

        One row of all of them, the best first, where they fill no grid.
        """
        if not self.is_grid:
            groups = self.by_rank()
            return [Matrix("", [""], [group.label for group in groups], [list(groups)])]
        row_setting, column_setting = self.axes()
        others = [name for name in self.settings if name not in (row_setting, column_setting)]
        parts: dict[str, list[Group]] = {}
        for group in self.groups:
            parts.setdefault(", ".join(group.label_of(name) for name in others), []).append(group)
        matrices = []
        for title, members in parts.items():
            placed = {(group.label_of(row_setting), group.label_of(column_setting)): group for group in members}
            rows, columns = (list(dict.fromkeys(labels)) for labels in zip(*placed, strict=True))
            cells = [[placed.get((row, column)) for column in columns] for row in rows]
            matrices.append(Matrix(title, rows, columns, cells))
        return matrices

    def axes(self) -> tuple[str, str]:
        """The settings of the rows and of the columns of a matrix. One with many values is that of the rows."""
        counts = {name: len({group.settings[name] for group in self.groups}) for name in self.settings}
        row = max(
            self.settings, key=lambda name: (counts[name] > MANY_VALUES, name == ROW_SETTING, name != COLUMN_SETTING)
        )
        others = [name for name in self.settings if name != row]
        return row, COLUMN_SETTING if COLUMN_SETTING in others else others[0]

    def problems(self) -> list[tuple[RunFolder, str]]:
        """Files that cannot be read, errors that ended a run, and training failures that `trick=track_failures`
        detected, a sentence each.
        """
        return [(run, sentence) for run in self.runs for sentence in run.problems]
