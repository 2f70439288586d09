"""The claims about published set-ups, as data: `claims/` has a YAML file for each, named like its experiment."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from gan.config.schema import Strict

FOLDER = Path(__file__).parent / "claims"


class Baseline(Strict):
    """Runs that a claim compares with, each of the same seed, device and precision.

    Args:
        overrides: what such a run needs besides `experiment=`.
        epochs: how long it must be; None: exactly as long as the run that is compared.
    """

    experiment: str
    overrides: list[str] = Field(default=[])
    epochs: int | None = None


class Claim(Strict):
    """One claim about a set-up.

    Args:
        text: the author's words, in short.
        check: the name of a function in `checks` or `image_checks`.
        arguments: those of the check, besides the run and its baselines.
        overrides: what a run needs besides `experiment=`.
        epochs: how long a run must be, and
        seeds: of which seeds runs are wanted, where these differ from the other claims of the set-up.
        evaluate_diverged: whether a run that diverged is checked too; otherwise the claim did not hold for it.
        figure: which figure of a run shows it.
        note: what the check does not see, or a threshold of ours.
        former: what an earlier check said, shown until a run decides.
    """

    text: str
    check: str
    arguments: dict[str, Any] = Field(default={})
    overrides: list[str] = Field(default=[])
    epochs: int | None = None
    seeds: list[int] | None = None
    baselines: list[Baseline] = Field(default=[])
    evaluate_diverged: bool = False
    figure: Literal["losses", "predictions", "samples"] = "samples"
    note: str | None = None
    former: str | None = None


class Claims(Strict):
    """All claims about a set-up.

    Args:
        source: the publication.
        epochs: how long a run must be.
        seeds: of which seeds runs are wanted.
        minutes: of one epoch on one CPU core, as far as measured.
        watch: overrides with which a run measures what the checks need.
    """

    source: str
    epochs: int
    seeds: list[int]
    minutes: float
    watch: list[str] = Field(default=[])
    claims: list[Claim]


def load_claims() -> dict[str, Claims]:
    """The claims about each set-up, by its experiment."""
    paths = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in sorted(FOLDER.rglob("*.yaml"))}
    return {name: Claims.model_validate(yaml.safe_load(path.read_text("utf-8"))) for name, path in paths.items()}
