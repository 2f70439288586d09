"""What lies in run folders, and in which settings they differ."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from gan.cli.overrides import OPERATIONAL
from gan.config.errors import ConfigError
from gan.report.cells import PROTOCOL, Number, mean_over, protocol_line
from gan.system import files, status

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """What gan.evaluate wrote into a run's scores.json, the oldest first; what is no evaluation is left out."""
    try:
        found = json.loads((folder / "scores.json").read_text("utf-8"))
    except (OSError, ValueError):
        return []
    rows = found if isinstance(found, list) else []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("scores"), dict)]


@dataclass(frozen=True)
class RunFolder:
    """One run's files, each read when it is asked for."""

    folder: Path

    @cached_property
    def status(self) -> dict[str, Any]:
        return status.read(self.folder)

    @cached_property
    def said(self) -> dict[str, str]:
        """What was typed, by setting or group."""
        overrides = self.read_yaml(".hydra/overrides.yaml")
        pairs = [str(text).lstrip("+~").partition("=") for text in (overrides if isinstance(overrides, list) else [])]
        return {name: value for name, _, value in pairs if name not in OPERATIONAL}

    @cached_property
    def settings(self) -> dict[str, str]:
        """What holds where nothing was typed: the chosen option of each group, and each setting."""
        chosen = self.read_yaml(".hydra/hydra.yaml")
        for name in ("hydra", "runtime", "choices"):
            chosen = chosen.get(name) if isinstance(chosen, dict) else None
        config = self.read_yaml(".hydra/config.yaml")
        groups = {name: str(value) for name, value in (chosen or {}).items() if not name.startswith("hydra/")}
        config = config if isinstance(config, dict) else {}
        tricks = config.get("trick")
        named = {"trick": f"[{','.join(tricks)}]"} if isinstance(tricks, dict) else {}
        return dict(flat(config)) | groups | named

    def read_yaml(self, name: str) -> Any:
        """A YAML file of the run; None where it cannot be read."""
        try:
            return yaml.load((self.folder / name).read_text("utf-8"), Loader)
        except (OSError, ValueError, yaml.YAMLError):
            return None

    def setting(self, name: str) -> str:
        """As the run's own configuration has it, or else as it was typed."""
        return self.settings.get(name, self.said.get(name, "-"))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What was logged."""
        rows = files.read_rows(self.folder / "metrics.jsonl")
        return [row for row in rows if isinstance(row.get("epoch"), (int, float))]

    @cached_property
    def scored(self) -> list[dict[str, Any]]:
        """The scores that were taken in training."""
        return files.read_rows(self.folder / "scores.jsonl")

    @cached_property
    def evaluated(self) -> list[dict[str, Any]]:
        """The means that gan.evaluate found for what the run draws with, with their protocols, the newest first."""
        rows = []
        for found in reversed(evaluations(self.folder)):
            if found.get("checkpoint") == "last" and found.get("ema") is True:
                scores = found["scores"].items()
                rows.append(found | {name: each["mean"] for name, each in scores if isinstance(each, dict)})
        return rows

    def epoch_of(self, step: int) -> float:
        """Passes through the data after so many steps, to three digits, as the run's own count is rounded too."""
        now = self.status
        return round(step * now["epoch"] / now["step"], 3) if now["step"] else 0.0

    @cached_property
    def grids(self) -> list[Path]:
        """The images of the fixed noise, in the order of their steps."""
        return sorted((self.folder / "samples").glob("step_*.png"))

    @property
    def scores(self) -> dict[str, float]:
        """The last that were taken, in training or by gan.evaluate."""
        found = self.status["scores"]
        return {
            name: value for name, value in found.items() if isinstance(value, (int, float)) and name not in PROTOCOL
        }

    @property
    def protocol(self) -> str | None:
        """How the scores were taken, on a line; None where there are none."""
        found = self.status["scores"]
        return protocol_line(found) if found else None

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone, and of which all or none were refused.

    Args:
        settings: what sets it apart from the other groups, by name.
    """

    settings: dict[str, str]
    runs: list[RunFolder]

    @property
    def label(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.settings.items()) or self.runs[0].name

    @property
    def state(self) -> str:
        states = [run.status["state"] for run in self.runs]
        if len(set(states)) == 1:
            return states[0]
        return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))

    @property
    def image(self) -> Path | None:
        """The last image of the first run that has one."""
        return next((run.grids[-1] for run in self.runs if run.grids), None)

    def numbers(self) -> dict[str, Number | None]:
        """What became of it, each the mean over its runs."""
        of_status = {"steps": "step", "seconds": "seconds", "images/s": "images_per_second"}
        of_row = {
            "D loss": "discriminator/loss",
            "G loss": "generator/loss",
            "D(x)": "discriminator/real",
            "D(G(z))": "discriminator/fake",
        }
        found = {name: mean_over(run.status[key] for run in self.runs) for name, key in of_status.items()}
        found |= {name: mean_over(run.status["last"].get(key) for run in self.runs) for name, key in of_row.items()}
        if len({run.protocol for run in self.runs if run.protocol}) > 1:
            return found  # a mean of scores that were taken in different ways says nothing
        scores = dict.fromkeys(name for run in self.runs for name in run.scores)
        return found | {name: mean_over(run.scores.get(name) for run in self.runs) for name in scores}


def flat(node: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Each setting by its whole name."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", json.dumps(value) if isinstance(value, (list, bool, type(None))) else str(value)


def thinned(items: list[Any], count: int) -> list[Any]:
    """At most `count` of them, evenly spread, with the first and the last."""
    if len(items) <= count:
        return items
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def find_runs(paths: list[Path]) -> list[RunFolder]:
    """Every run at or below `paths`, in the order of their names. Raises ConfigError where there is none."""
    folders = {}
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path} does not exist; it should be a run or a folder of runs, such as outputs.")
        below = {file.parent: None for file in path.rglob("status.json")}
        if not below:
            raise ConfigError(f"{path} holds no run: there is no status.json in it.")
        folders |= dict.fromkeys(sorted(below, key=order))
    return [RunFolder(folder) for folder in folders]


def order(folder: Path) -> tuple[str, int, str]:
    """A sweep's jobs by their number, all else by name."""
    number = folder.name.partition("_")[0]
    return str(folder.parent), int(number) if number.isdigit() else -1, folder.name


def differing(runs: list[RunFolder]) -> list[str]:
    """The names of what was typed and is not the same in all runs."""
    typed = dict.fromkeys(name for run in runs for name in run.said)
    return [name for name in typed if len({run.setting(name) for run in runs}) > 1]


def groups(runs: list[RunFolder]) -> list[Group]:
    """The runs, those that differ in their seed alone together, but for refused ones, which made no step to average."""
    names = [name for name in differing(runs) if name != "seed"]
    found: dict[tuple[bool, tuple[str, ...]], list[RunFolder]] = {}
    for run in runs:
        values = tuple(run.setting(name) for name in names)
        found.setdefault((run.status["state"] == "refused", values), []).append(run)
    return [Group(dict(zip(names, values, strict=True)), members) for (_, values), members in found.items()]
