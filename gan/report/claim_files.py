"""What is known of each published set-up, and the claims about it: `claims/` has a YAML, named like its experiment."""

import functools
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import yaml
from pydantic import Field, model_validator

from gan.config.schema import Strict

FOLDER = Path(__file__).parent / "claims"


class Length(NamedTuple):
    """How long a run is trained: `amount` epochs or steps."""

    amount: float
    unit: Literal["epoch", "step"]

    def of(self, status: dict[str, Any]) -> float:
        """How long a run with this `status.json` was trained, in the same unit."""
        return float(status[self.unit])

    @property
    def override(self) -> str:
        """What to type for it."""
        return f"{'train.epochs' if self.unit == 'epoch' else 'train.max_steps'}={self.amount:.12g}"

    def __str__(self) -> str:
        """`75 epochs`."""
        return f"{self.amount:.12g} {self.unit}s"


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
        epochs: how long a run must be, or
        steps: the same in a set-up that counts steps, and
        seeds: of which seeds runs are wanted, where these differ from the other claims of the set-up.
        deterministic: whether all seeds give the same run, so that one decides.
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
    steps: int | None = None
    seeds: list[int] | None = None
    deterministic: bool = False
    baselines: list[Baseline] = Field(default=[])
    evaluate_diverged: bool = False
    figure: Literal["losses", "predictions", "samples", "dirac"] = "samples"
    note: str | None = None
    former: str | None = None


class Setting(Strict):
    """A setting of the author's, and ours that stand for it.

    Args:
        what: its name in words.
        author: what the text says, in words or as the value itself; None: nothing.
        ours: names of settings; their values are those of the configuration.
    """

    what: str
    author: str | int | float | None = None
    ours: list[str] = Field(min_length=1)


class Curves(Strict):
    """The author's curves.

    Args:
        author: what is known of them; None: nothing.
        axis: what they are drawn over.
        panels: the logged numbers in each panel, from top to bottom.
        added: panels of ours below them.
    """

    author: str | None = None
    axis: Literal["epoch", "step"] = "epoch"
    panels: list[list[str]] = Field(default=[])
    added: list[list[str]] = Field(default=[])


class Images(Strict):
    """The author's sample images.

    Args:
        author: what is known of them; None: nothing.
        unit: of `at`, the times after which ours are shown.
        normalized: whether each grid is shown in its own pixel range.
    """

    author: str | None = None
    unit: Literal["epoch", "step"] = "epoch"
    at: list[int]
    normalized: bool = False


class Claims(Strict):
    """All claims about a set-up, and what its page says of it.

    Args:
        source: the publication.
        epochs: how long a run must be, or
        steps: the same where the set-up counts steps.
        seeds: of which seeds runs are wanted.
        minutes: of one epoch, or of 1,000 steps, on one CPU core, as far as measured.
        watch: overrides with which a run measures what the checks need.
        reading: what the text leaves open, and what we chose.
        differences: in what ours differs from the text all the same.
    """

    source: str
    epochs: int | None = None
    steps: int | None = None
    seeds: list[int]
    minutes: float
    watch: list[str] = Field(default=[])
    settings: list[Setting] = Field(default=[])
    reading: list[str] = Field(default=[])
    differences: list[str] = Field(default=[])
    curves: Curves = Curves()
    images: Images = Images(at=[])
    claims: list[Claim]

    @model_validator(mode="after")
    def check_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("either epochs or steps is needed")
        return self

    @property
    def length(self) -> Length:
        """How long a run must be."""
        return Length(self.epochs, "epoch") if self.epochs else Length(self.steps or 0, "step")

    def length_of(self, claim: Claim) -> Length:
        """The same for one of its claims."""
        if claim.steps:
            return Length(claim.steps, "step")
        return Length(claim.epochs, "epoch") if claim.epochs else self.length

    def seeds_of(self, claim: Claim) -> list[int]:
        """Of which seeds runs of one of its claims are wanted."""
        return self.seeds if claim.seeds is None else claim.seeds

    def hours_of(self, length: Length) -> float:
        """The time of a run of that length on one CPU core."""
        return self.minutes * length.amount / (60 if length.unit == "epoch" else 60_000)

    @property
    def overrides(self) -> list[str]:
        """What a run of the set-up itself needs besides `experiment=`; claims with others are about variants of it."""
        return self.claims[0].overrides


@functools.cache
def load_claims() -> dict[str, Claims]:
    """The claims about each set-up, by its experiment."""
    paths = sorted(FOLDER.rglob("*.yaml"))
    names = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in paths]
    return {name: Claims.model_validate(read_claims(name)) for name in names}


def read_claims(name: str) -> dict[str, Any]:
    """The content of a file, with what it does not say of its set-up from that of the set-up that it is `like`.

    Settings of the same name are replaced; reading and differences are added to.
    """
    own: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    if "like" not in own:
        return own
    other = read_claims(own.pop("like"))
    replaced = {setting["what"]: setting for setting in own.get("settings", [])}
    settings = {setting["what"]: setting for setting in other["settings"]} | replaced
    texts = {key: other.get(key, []) + own.get(key, []) for key in ("reading", "differences")}
    drawn = {key: own.get(key, other[key]) for key in ("curves", "images")}
    return own | texts | drawn | {"settings": list(settings.values())}
