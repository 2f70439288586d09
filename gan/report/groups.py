"""Groups of runs that differ in the seed alone: in which settings they differ, and their names."""

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from gan.cli.names import short_value
from gan.cli.overrides import OPERATIONAL
from gan.report.cells import Number, mean_over
from gan.report.runs import Column, RunFolder


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone. Runs that never started (state `refused`) form groups of their own.

    Args:
        settings: those in which this group differs from the others, by name.
        name: short and for the eye: `mlp sgd lr=0.01`.
    """

    settings: dict[str, str]
    runs: list[RunFolder]
    name: str = ""

    @property
    def label(self) -> str:
        return ", ".join(map(self.label_of, self.settings)) or self.name or self.runs[0].name

    def label_of(self, setting: str) -> str:
        """One of its settings with the value; empty for the empty name."""
        return f"{setting}={self.settings[setting]}" if setting else ""

    @property
    def final_grid(self) -> Path | None:
        """The last sample grid of its first run that has any."""
        return next((run.sample_grids[-1] for run in self.runs if run.sample_grids), None)

    @property
    def state(self) -> str:
        states = [run.status["state"] for run in self.runs]
        if len(set(states)) == 1:
            return states[0]
        return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))

    @cached_property
    def counted(self) -> list[RunFolder]:
        """One run of each seed, if possible a finished one: the others repeat it."""
        by_seed: dict[str, RunFolder] = {}
        for run in sorted(self.runs, key=lambda run: (run.status["state"] != "finished", -run.status["step"])):
            by_seed.setdefault(run.seed, run)
        return [run for run in self.runs if run in by_seed.values()]

    @cached_property
    def results(self) -> dict[Column, Number | None]:
        """The results of its runs, each with mean and standard deviation over the seeds."""
        columns = dict.fromkeys(column for run in self.counted for column in run.results)
        return {column: mean_over(run.results.get(column) for run in self.counted) for column in columns}


def differing_settings(runs: list[RunFolder]) -> list[str]:
    """The settings that were typed and are not the same in all runs, and others where an option was edited."""
    names = dict.fromkeys(name for run in runs for name in run.overrides)
    names = {name: None for name in names if len({run.setting(name) for run in runs}) > 1}
    for members in same_settings(runs, [name for name in names if name != "seed"]).values():
        known = [run.settings for run in members if run.settings]
        shared = [name for name in known[0] if all(name in settings for settings in known)] if known else []
        edited = [name for name in shared if len({settings[name] for settings in known}) > 1]
        names |= dict.fromkeys(name for name in edited if name != "seed" and name.split(".")[0] not in OPERATIONAL)
    return [name for name in names if not name.startswith("watch.")]  # which changes no number of a run


def same_settings(runs: list[RunFolder], names: list[str]) -> dict[tuple[bool, tuple[str, ...]], list[RunFolder]]:
    """The runs by whether they never started, and by the values of some settings."""
    groups: dict[tuple[bool, tuple[str, ...]], list[RunFolder]] = {}
    for run in runs:
        values = tuple(run.setting(name) for name in names)
        groups.setdefault((run.status["state"] == "refused", values), []).append(run)
    return groups


def group_runs(runs: list[RunFolder]) -> list[Group]:
    """Groups of runs that differ in the seed alone."""
    names = [name for name in differing_settings(runs) if name != "seed"]
    groups = [
        Group(dict(zip(names, values, strict=True)), members)
        for (_, values), members in same_settings(runs, names).items()
    ]
    order = {value: number for number, value in enumerate(dict.fromkeys(run.setting(n) for run in runs for n in names))}
    groups.sort(key=lambda group: [value_order(value, order) for value in group.settings.values()])
    return [replace(group, name=name) for group, name in zip(groups, short_names(groups), strict=True)]


def short_names(groups: list[Group]) -> list[str]:
    """A name for each group, of as few of its settings as tell the groups apart, options of config groups first."""
    if len(groups) == 1:
        folder = groups[0].runs[0].folder
        return [folder.name if len(groups[0].runs) == 1 else folder.absolute().parent.name]
    names = sorted(groups[0].settings, key=lambda name: ("." in name, name.startswith(("train.", "watch."))))
    ends = [name.split(".")[-1] for name in names]
    short = {
        name: end if ends.count(end) == 1 else ".".join(name.split(".")[-2:])
        for name, end in zip(names, ends, strict=True)
    }
    texts = [""] * len(groups)
    fewest = max(1, sum("." not in name for name in names))
    for count in range(fewest, len(names) + 1):
        texts = [
            " ".join(
                short_setting(short[name], group.settings[name])
                for name in names[:count]
                if group.settings[name] != "-"
            )
            for group in groups
        ]
        if len(set(texts)) == len(groups):
            break
    return [
        text if text and texts.count(text) == 1 else f"{text} ({group.runs[0].name})".strip()
        for text, group in zip(texts, groups, strict=True)
    ]


def short_setting(name: str, value: str) -> str:
    """A setting in a name: the option of a group alone, other values with their names."""
    is_word = re.match(r"[^\W\d]", value) and value not in ("true", "false", "null")
    return value if is_word else f"{name}={short_value(value)}"


def value_order(value: str, order: dict[str, int]) -> tuple[int, float]:
    """Sort key of a setting's value: numbers by size, others in the order in which they come."""
    try:
        number = float(value)
    except ValueError:
        return 1, order[value]
    return (0, number) if math.isfinite(number) else (1, order[value])
