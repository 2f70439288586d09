"""The trials of a search: runs whose settings were chosen to find the best score."""

from typing import NamedTuple

from gan.report.contents import Report
from gan.report.groups import Group

MIN_TRIALS = 6  # with fewer, the table says it all
MAX_SETTINGS = 12


class Trial(NamedTuple):
    """Runs with the same settings, and the headline score."""

    group: Group
    score: float


def list_trials(report: Report) -> list[Trial]:
    """The groups with a score, the best first; empty where they are too few, or no setting that was typed differs."""
    ranked = report.ranked()
    if len(ranked) < MIN_TRIALS or not report.settings:
        return []
    scores = dict(zip(map(id, report.groups), report.results, strict=True))
    return [Trial(group, scores[id(group)][report.headline].mean) for group in ranked]  # type: ignore[index,union-attr]


def searched_settings(trials: list[Trial]) -> list[str]:
    """The settings with more than one value among the trials, those with the most values first."""
    values = {name: {trial.group.settings[name] for trial in trials} for name in trials[0].group.settings}
    varied = sorted((name for name in values if len(values[name]) > 1), key=lambda name: -len(values[name]))
    return varied[:MAX_SETTINGS]
