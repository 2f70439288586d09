"""What the authors of published set-ups claim, and whether it held in our runs.

The claims are data: a file in `claims/` for each set-up, named like its experiment.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from pydantic import Field

from gan import files
from gan.arguments import BESIDES
from gan.report import checks
from gan.report.runs import Run
from gan.settings import Strict

FOLDER = Path(__file__).parent / "claims"
HARDWARE = {"device", "precision", "compile"}
FREE = BESIDES | HARDWARE | {"seed", "train.epochs", "train.max_steps"}  # what a run may say and stay the set-up


class Claim(Strict):
    """One thing that an author says of a set-up.

    Args:
        says: the claim, in a sentence.
        check: the name of a function in `checks`.
        numbers: what it is given besides the run.
        asked: what a run of it is asked for besides its experiment.
        epochs: how far a run should have come; all that the set-up says by default.
        than: another experiment, whose run is compared with.
    """

    says: str
    check: str
    numbers: dict[str, Any] = Field(default={})
    asked: list[str] = Field(default=[])
    epochs: int | None = None
    than: str | None = None


class Claims(Strict):
    """All claims about a set-up.

    Args:
        source: who says so, and where.
        epochs: how far a run should have come.
        watch: what a run is asked for so that it can be judged.
    """

    source: str
    epochs: int
    watch: list[str] = Field(default=[])
    claims: list[Claim]


@dataclass(frozen=True)
class Verdict:
    """What a run says of a claim: `held` is None where it says nothing, and `figure` is why."""

    run: Run
    held: bool | None
    figure: str


def read() -> dict[str, Claims]:
    """The claims about each set-up, by the name of its experiment."""
    files = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in sorted(FOLDER.rglob("*.yaml"))}
    return {name: Claims.model_validate(yaml.safe_load(path.read_text())) for name, path in files.items()}


def is_of(run: Run, experiment: str, asked: list[str]) -> bool:
    """Whether the run is this set-up: it was asked for these things, and for no other that could move its numbers."""
    said = {name: value.replace(" ", "") for name, value in run.said.items() if name not in FREE}
    said = {name: value for name, value in said.items() if not name.startswith(("watch.", "hydra"))}
    return said == {"experiment": experiment} | dict(each.split("=", 1) for each in asked)


def judged(run: Run, claim: Claim, epochs: int, runs: list[Run]) -> Verdict:
    """Hold the claim against the run."""
    came, wanted = run.status["epoch"], claim.epochs or epochs
    if came < wanted and run.status["state"] != "diverged":
        return Verdict(run, None, f"it has come to epoch {came:g} of {wanted}")
    numbers = claim.numbers
    if claim.than:
        rivals = [other for other in runs if is_of(other, claim.than, [])]
        same_seed = [other for other in rivals if other.setting("seed") == run.setting("seed")]
        if not rivals:
            return Verdict(run, None, f"there is no run of {claim.than} to compare with")
        numbers = numbers | {"than": (same_seed or rivals)[0]}
    try:
        held, figure = getattr(checks, claim.check)(run, **numbers)
    except checks.Missing as missing:
        return Verdict(run, None, str(missing))
    return Verdict(run, held, figure)


def in_words(verdicts: list[Verdict]) -> str:
    """All verdicts on a claim as one."""
    held = [verdict.held for verdict in verdicts if verdict.held is not None]
    if not held:
        return "not run"
    if len(set(held)) == 1:
        return "held" if held[0] else "did not hold"
    return f"held in {sum(held)} of {len(held)} runs"


def lines(runs: list[Run], out: Path | None = None) -> Iterator[str]:
    """Markdown: the claims about each set-up, the verdicts, what decides them, and what to type where nothing does.

    With `out`, each set-up's first run shows its pictures and its losses, which are written there.
    """
    yield "# What was claimed, and what held\n"
    for experiment, claims in read().items():
        yield f"## {experiment}\n\n{claims.source}\n\n| claim | verdict | what decides it |\n|---|---|---|"
        used, unknown = {}, {}
        for claim in claims.claims:
            fitting = [run for run in runs if is_of(run, experiment, claim.asked)]
            verdicts = [judged(run, claim, claims.epochs, runs) for run in fitting]
            used |= {run.name: run for run in fitting}
            if all(verdict.held is None for verdict in verdicts):
                unknown[command(experiment, [*claim.asked, *claims.watch])] = None
            decides = "<br>".join(f"{verdict.run.name}: {verdict.figure}" for verdict in verdicts)
            yield f"| {claim.says} | **{in_words(verdicts)}** | {decides} |"
        yield ""
        yield from (f"* not run: `{line}`" for line in unknown)
        yield from map(about, used.values())
        if out:
            yield from pictures(list(used.values())[:1], out)
        yield ""


def command(experiment: str, asked: list[str]) -> str:
    """What makes a run, as a shell wants it."""
    return shlex.join(["python", "train.py", f"experiment={experiment}", *asked])


def about(run: Run) -> str:
    """How to make the run again, where it was made and how long it took."""
    said = [
        f"{name}={value}" for name, value in run.said.items() if name != "experiment" and not name.startswith("hydra")
    ]
    minutes, machine = run.status["seconds"] / 60, run.status["machine"]
    return f"* {run.name}: `{command(run.setting('experiment'), said)}`; {minutes:.0f} minutes of training; {machine}"


def pictures(runs: list[Run], out: Path) -> Iterator[str]:
    """Small copies of what the runs drew last, and of their losses, as Markdown that shows them."""
    for run in runs:
        for name, path in (("pictures", run.folder / "final.png"), ("losses", run.folder / "figures" / "losses.png")):
            if path.exists():
                with Image.open(path) as image, files.whole(out / f"{run.name}_{name}.png") as file:
                    image.quantize(32).save(file, format="png", optimize=True)
                yield f"![{name} of {run.name}]({run.name}_{name}.png)"
