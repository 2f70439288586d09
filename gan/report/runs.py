"""Run folders: what each one holds, in which settings they differ, and which differ in the seed alone."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar

from gan.cli import names
from gan.cli.overrides import OPERATIONAL
from gan.config.errors import ConfigError, first_line
from gan.metrics.catalogue import PROTOCOL, protocol_line
from gan.system import files, status

LARGEST = 1e300  # sums of a few are finite
T = TypeVar("T")
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
    """One run's files, each read when it is first needed. Missing and damaged files count as empty.

    So do those that a link outside the folder stands for, which may be private: a run may come from a stranger.

    Args:
        damage: why files count as empty that are there, a sentence each.
    """

    folder: Path
    damage: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        return self.folder.name

    def read(self, reader: Callable[[Path], T], name: str) -> T | None:
        """What `reader` makes of a file of the run; None where there is none, or it cannot be read."""
        path = self.folder / name
        try:
            if files.leads_out(path, self.folder):
                raise ValueError("a link outside the run folder, not followed")
            return reader(path) if path.exists() else None
        except (OSError, ValueError) as error:
            self.damage[name] = f"{name} cannot be read: {first_line(error)}."
            return None

    @cached_property
    def status(self) -> dict[str, Any]:
        if self.read(files.read_json, "status.json") is None:
            return dict(status.INITIAL)
        current = status.outcome(self.folder)
        texts = {
            name: current[name] if isinstance(current[name], str) else None for name in ("error", "machine", "version")
        }
        numbers = {name: current[name] if is_number(current[name]) else 0 for name in ("step", "epoch", "seconds")}
        return current | texts | numbers

    @cached_property
    def has_command(self) -> bool:
        """Whether it says what was typed on the command line, which may be nothing."""
        return isinstance(self.read(files.read_yaml, ".hydra/overrides.yaml"), list)

    @cached_property
    def typed(self) -> list[str]:
        """What was typed on the command line, without what does not define the run."""
        lines = self.read(files.read_yaml, ".hydra/overrides.yaml")
        words = [str(line) for line in (lines if isinstance(lines, list) else [])]
        return [word for word in words if word.lstrip("+~").partition("=")[0] not in OPERATIONAL]

    @cached_property
    def overrides(self) -> dict[str, str]:
        """What was typed, by setting or group."""
        pairs = [word.lstrip("+~").partition("=") for word in self.typed]
        return {name: value for name, _, value in pairs}

    @cached_property
    def settings(self) -> dict[str, str]:
        """The resolved configuration: the chosen option of each group, and each setting by its full name."""
        choices = self.read(files.read_yaml, ".hydra/hydra.yaml")
        for key in ("hydra", "runtime", "choices"):
            choices = choices.get(key) if isinstance(choices, dict) else None
        config = self.read(files.read_yaml, ".hydra/config.yaml")
        config, choices = (node if isinstance(node, dict) else {} for node in (config, choices))
        groups = {str(name): str(value) for name, value in choices.items() if not str(name).startswith("hydra/")}
        tricks = config.get("trick")
        trick = {"trick": f"[{','.join(map(str, tricks))}]"} if isinstance(tricks, dict) else {}
        return dict(flatten(config)) | groups | trick

    def setting(self, name: str) -> str:
        """A setting as the run's configuration has it, or else as it was typed; "-" where neither names it."""
        return self.settings.get(name, self.overrides.get(name, "-"))

    @property
    def seed(self) -> str:
        """The seed; the folder's path where it is not known."""
        seed = self.setting("seed")
        return str(self.folder) if seed == "-" else seed

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return [row for row in self.read_rows("metrics.jsonl") if is_number(row.get("epoch"))]

    @cached_property
    def training_scores(self) -> list[dict[str, Any]]:
        """The rows of scores.jsonl: scores computed during training, the oldest first."""
        return self.read_rows("scores.jsonl")

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a file of the run, with steps that can be drawn."""
        rows = self.read(files.read_rows, name) or []
        return [row for row in rows if is_number(row["step"]) and row["step"] >= 0]

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """Mean scores and protocol of each gan.evaluate of the last checkpoint with EMA, if any; the newest first."""
        return [
            row | {name: number.get("mean") for name, number in row["scores"].items() if isinstance(number, dict)}
            for row in reversed(select_evaluations(self.read(files.read_json, "scores.json")))
            if row.get("checkpoint") == "last" and row.get("ema") is True
        ]

    def epoch_of(self, step: int) -> float:
        """Epochs after `step` steps, rounded to three digits as in status.json."""
        return round(step * self.status["epoch"] / self.status["step"], 3) if self.status["step"] else 0.0

    @cached_property
    def sample_grids(self) -> list[Path]:
        """The sample grids of the fixed noise, by step."""
        grids = self.read(lambda samples: files.sample_grids(samples.parent), "samples") or {}
        return [path for path in grids.values() if self.read(Path.stat, f"samples/{path.name}")]

    @property
    def problems(self) -> list[str]:
        """Files that cannot be read, the error that ended the run, and training failures, a sentence each."""
        sentences = list(self.damage.values())
        if self.status["error"]:
            sentences.append(f"{self.status['state']}: {self.status['error']}")
        failures = [failure for failure in self.status["failures"] if isinstance(failure, dict)]
        return sentences + [f"step {failure.get('step')}: {failure.get('what')}" for failure in failures]

    @cached_property
    def protocol(self) -> str | None:
        """The protocol of the latest scores, on a line; None where there are none."""
        return protocol_line(self.status["scores"]) if self.status["scores"] else None

    @cached_property
    def results(self) -> dict[Column, float]:
        """Every number of the results table: progress, the last logged row and the latest scores."""
        values = {Column(name): self.status[key] for name, key in FROM_STATUS.items()}
        values |= {Column(name): self.status["last"].get(key) for name, key in FROM_LAST_ROW.items()}
        scores = self.status["scores"].items()
        values |= {Column(name, self.protocol): value for name, value in scores if name not in PROTOCOL}
        return {column: value for column, value in values.items() if is_number(value)}

    @property
    def real_data(self) -> dict[Column, float]:
        """The real-data baseline of the scores, by the columns of the results table."""
        baseline = self.status.get("real_data")
        numbers = baseline if isinstance(baseline, dict) else {}
        return {Column(name, self.protocol): value for name, value in numbers.items() if is_number(value)}


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """The evaluations in a run's scores.json, the oldest first; entries of another form are skipped."""
    try:
        return select_evaluations(files.read_json(folder / "scores.json"))
    except (OSError, ValueError):
        return []


def select_evaluations(rows: Any) -> list[dict[str, Any]]:
    """Those of the rows of a scores.json that are evaluations."""
    rows = rows if isinstance(rows, list) else []
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("scores"), dict)]


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value from a file is a number to compute with: neither infinite nor of thousands of digits."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST


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
        folders |= dict.fromkeys(sorted(found, key=lambda folder: (str(folder.parent), names.sort_key(folder.name))))
    return [RunFolder(folder) for folder in folders]
