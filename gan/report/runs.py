"""Run folders: what each one holds, in which settings they differ, and which differ in the seed alone."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from gan.cli.overrides import OPERATIONAL
from gan.config.errors import ConfigError
from gan.metrics.catalogue import PROTOCOL, protocol_line
from gan.report.cells import Number, mean_over
from gan.system import files, status

FROM_STATUS = {"steps": "step", "seconds": "seconds", "images/s": "images_per_second"}
FROM_LAST_ROW = {
    "D loss": "discriminator/loss",
    "G loss": "generator/loss",
    "D(x)": "discriminator/real",
    "D(G(z))": "discriminator/fake",
}


class Column(NamedTuple):
    """A column of the results table. A score has one for each protocol, since others are not comparable.

    Args:
        protocol: the line that says how a score was computed; None for what is no score.
    """

    name: str
    protocol: str | None = None


@dataclass(frozen=True)
class RunFolder:
    """One run's files, each read when it is first needed. Missing and damaged files count as empty."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def status(self) -> dict[str, Any]:
        return status.read(self.folder)

    @cached_property
    def overrides(self) -> dict[str, str]:
        """What was typed on the command line, by setting or group."""
        lines = self.read_yaml(".hydra/overrides.yaml")
        pairs = [str(line).lstrip("+~").partition("=") for line in (lines if isinstance(lines, list) else [])]
        return {name: value for name, _, value in pairs if name not in OPERATIONAL}

    @cached_property
    def settings(self) -> dict[str, str]:
        """The resolved configuration: the chosen option of each group, and each setting by its full name."""
        choices = self.read_yaml(".hydra/hydra.yaml")
        for key in ("hydra", "runtime", "choices"):
            choices = choices.get(key) if isinstance(choices, dict) else None
        config = self.read_yaml(".hydra/config.yaml")
        config = config if isinstance(config, dict) else {}
        groups = {name: str(value) for name, value in (choices or {}).items() if not name.startswith("hydra/")}
        tricks = config.get("trick")
        trick = {"trick": f"[{','.join(tricks)}]"} if isinstance(tricks, dict) else {}
        return dict(flatten(config)) | groups | trick

    def read_yaml(self, name: str) -> Any:
        """A YAML file of the run; None where it cannot be read."""
        try:
            return files.read_yaml(self.folder / name)
        except (OSError, ValueError):
            return None

    def setting(self, name: str) -> str:
        """A setting as the run's configuration has it, or else as it was typed; "-" where neither names it."""
        return self.settings.get(name, self.overrides.get(name, "-"))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        rows = files.read_rows(self.folder / "metrics.jsonl")
        return [row for row in rows if isinstance(row.get("epoch"), (int, float))]

    @cached_property
    def training_scores(self) -> list[dict[str, Any]]:
        """The rows of scores.jsonl: scores computed during training, the oldest first."""
        return files.read_rows(self.folder / "scores.jsonl")

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """Mean scores and protocol of each gan.evaluate of the last checkpoint with EMA, if any; the newest first."""
        return [
            row | {name: number["mean"] for name, number in row["scores"].items() if isinstance(number, dict)}
            for row in reversed(read_evaluations(self.folder))
            if row.get("checkpoint") == "last" and row.get("ema") is True
        ]

    def epoch_of(self, step: int) -> float:
        """Epochs after `step` steps, rounded to three digits as in status.json."""
        return round(step * self.status["epoch"] / self.status["step"], 3) if self.status["step"] else 0.0

    @cached_property
    def sample_grids(self) -> list[Path]:
        """The sample grids of the fixed noise, by step."""
        return list(files.sample_grids(self.folder).values())

    @property
    def protocol(self) -> str | None:
        """The protocol of the latest scores, on a line; None where there are none."""
        return protocol_line(self.status["scores"]) if self.status["scores"] else None

    @property
    def results(self) -> dict[Column, float]:
        """Every number of the results table: progress, the last logged row and the latest scores."""
        values = {Column(name): self.status[key] for name, key in FROM_STATUS.items()}
        values |= {Column(name): self.status["last"].get(key) for name, key in FROM_LAST_ROW.items()}
        scores = self.status["scores"].items()
        values |= {Column(name, self.protocol): value for name, value in scores if name not in PROTOCOL}
        numbers = [(column, value) for column, value in values.items() if isinstance(value, (int, float))]
        return {column: number for column, number in numbers if math.isfinite(number)}


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone. Runs that never started (state `refused`) form groups of their own.

    Args:
        settings: those in which this group differs from the others, by name.
    """

    settings: dict[str, str]
    runs: list[RunFolder]

    @property
    def label(self) -> str:
        return ", ".join(map(self.label_of, self.settings)) or self.runs[0].name

    def label_of(self, setting: str) -> str:
        """One of its settings with the value; empty for the empty name."""
        return f"{setting}={self.settings[setting]}" if setting else ""

    @property
    def state(self) -> str:
        states = [run.status["state"] for run in self.runs]
        if len(set(states)) == 1:
            return states[0]
        return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))

    @property
    def final_samples(self) -> Path | None:
        """The last sample grid of the first run that has one."""
        return next((run.sample_grids[-1] for run in self.runs if run.sample_grids), None)

    @property
    def results(self) -> dict[Column, Number | None]:
        """The results of its runs, each with mean and standard deviation."""
        columns = dict.fromkeys(column for run in self.runs for column in run.results)
        return {column: mean_over(run.results.get(column) for run in self.runs) for column in columns}


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's scores.json, the oldest first; entries of another form are skipped."""
    try:
        rows = files.read_json(folder / "scores.json")
    except (OSError, ValueError):
        return []
    rows = rows if isinstance(rows, list) else []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("scores"), dict)]


def flatten(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each setting below `node` by its full name, with its value as text."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value) if isinstance(value, (list, bool, type(None))) else str(value)


def thin_out(items: list[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced, including the first and the last."""
    if len(items) <= count:
        return items
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def find_runs(paths: list[Path]) -> list[RunFolder]:
    """Every run in or below `paths`, sorted by name. Raises ConfigError for a path without runs."""
    folders: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path} does not exist; give a run or a folder of runs, such as outputs.")
        found = {file.parent for file in path.rglob("status.json")}
        if not found:
            raise ConfigError(f"{path} holds no run: there is no status.json in or below it.")
        folders |= dict.fromkeys(sorted(found, key=sort_key))
    return [RunFolder(folder) for folder in folders]


def sort_key(folder: Path) -> tuple[str, int, str]:
    """The jobs of a sweep by their number, other folders by name."""
    number = folder.name.partition("_")[0]
    return str(folder.parent), int(number) if number.isdigit() else -1, folder.name


def differing_settings(runs: list[RunFolder]) -> list[str]:
    """The names of the settings that were typed and are not the same in all runs."""
    names = dict.fromkeys(name for run in runs for name in run.overrides)
    return [name for name in names if len({run.setting(name) for run in runs}) > 1]


def group_runs(runs: list[RunFolder]) -> list[Group]:
    """Groups of runs that differ in the seed alone."""
    names = [name for name in differing_settings(runs) if name != "seed"]
    groups: dict[tuple[bool, tuple[str, ...]], list[RunFolder]] = {}
    for run in runs:
        values = tuple(run.setting(name) for name in names)
        groups.setdefault((run.status["state"] == "refused", values), []).append(run)
    return [Group(dict(zip(names, values, strict=True)), members) for (_, values), members in groups.items()]
