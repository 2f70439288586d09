"""What the authors of published set-ups claim, and whether it held in our runs.

The claims are data: a file in `claims/` for each set-up, named like its experiment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from pydantic import Field

from gan.cli.overrides import OPERATIONAL, quote_override, shell_line
from gan.config.schema import Strict
from gan.report import checks
from gan.report.runs import RunFolder
from gan.system import files

FOLDER = Path(__file__).parent / "claims"
# What a run may say and still be the set-up: what it runs on and how finely it counts, and how long it trains.
FREE = OPERATIONAL | {"seed", "device", "precision", "compile", "train.epochs", "train.max_steps"}
ALIKE = ("seed", "device", "precision", "compile")  # of two runs that are compared
FREE_PARTS = ("hydra", "watch.scores_", "watch.samples", "watch.final_samples", "watch.gif_", "watch.checkpoint_")


class Claim(Strict):
    """One thing that an author says of a set-up.

    Args:
        says: the claim, in a sentence.
        check: the name of a function in `checks`.
        numbers: what it is given besides the run.
        asked: what a run of it is asked for besides its experiment.
        epochs: how far a run should have come, where that is not as far as the other claims want it.
        than: another set-up with claims, whose run of the same seed is compared with.
        caution: what the check does not see; it is shown beside the claim.
    """

    says: str
    check: str
    numbers: dict[str, Any] = Field(default={})
    asked: list[str] = Field(default=[])
    epochs: int | None = None
    than: str | None = None
    caution: str | None = None


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
    """What a run says of a claim: `held` is None where it decides nothing, and `figure` is why."""

    run: RunFolder
    held: bool | None
    figure: str


def read() -> dict[str, Claims]:
    """The claims about each set-up, by the name of its experiment."""
    paths = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in sorted(FOLDER.rglob("*.yaml"))}
    return {name: Claims.model_validate(yaml.safe_load(path.read_text("utf-8"))) for name, path in paths.items()}


def also_asked(run: RunFolder) -> set[str]:
    """What a run was asked for that could move its numbers, without its experiment."""
    said = {name: value.replace(" ", "") for name, value in run.said.items() if name not in FREE | {"experiment"}}
    return {f"{name}={value}" for name, value in said.items() if not name.startswith(FREE_PARTS)}


def judged(
    run: RunFolder, claim: Claim, claimed: dict[str, Claims], epochs: int, known: dict[str, list[RunFolder]]
) -> Verdict:
    """Hold the claim against the run. `known` are all runs, by experiment."""
    decided_by_ending = claim.check == "diverges" and run.status["state"] == "diverged"
    if not decided_by_ending and (reason := unfit(run, claim.epochs or epochs)):
        return Verdict(run, None, reason)
    numbers = claim.numbers
    if claim.than:
        wanted = claimed[claim.than].epochs
        whole = [other for other in known[claim.than] if not also_asked(other) and not unfit(other, wanted)]
        rivals = [other for other in whole if other.status["epoch"] == wanted and alike(run, other)]
        if not rivals:
            words = f"there is no run of {claim.than} of {wanted} epochs that is alike in {', '.join(ALIKE)}"
            return Verdict(run, None, words)
        numbers = numbers | {"than": rivals[0]}
    try:
        return Verdict(run, *getattr(checks, claim.check)(run, **numbers))
    except checks.Missing as missing:
        return Verdict(run, None, str(missing))


def alike(one: RunFolder, other: RunFolder) -> bool:
    """Whether two runs may be compared."""
    return all(one.setting(name) == other.setting(name) for name in ALIKE)


def unfit(run: RunFolder, epochs: int) -> str | None:
    """Why a run cannot be judged yet; None where it has ended, after so many epochs or more."""
    state, came = run.status["state"], run.status["epoch"]
    if state not in ("finished", "stopped"):
        return f"it is {state}, at epoch {came:.4g} of {epochs}"
    if came >= epochs:
        return None
    goes_on = shell_line("train.py", quote_override("resume", str(run.folder)), f"train.epochs={epochs}")
    return f"it has come to epoch {came:.4g}: {goes_on}"


def in_words(verdicts: list[Verdict]) -> str:
    """All verdicts on a claim as one."""
    held = [verdict.held for verdict in verdicts if verdict.held is not None]
    if not held:
        return "undecided" if verdicts else "not run"
    if len(set(held)) == 1:
        return "held" if held[0] else "did not hold"
    return f"held in {sum(held)} of {len(held)} runs"


def lines(runs: list[RunFolder], out: Path | None = None) -> Iterator[str]:
    """Markdown: the claims about each set-up, the verdicts, what decides them, and what to type where there is no run.

    With `out`, a run of each set-up shows its images and its losses, which are written there: one that was asked
    for nothing else, if there is any.
    """
    claimed = read()
    known = {name: [run for run in runs if run.said.get("experiment") == name] for name in claimed}
    yield "# What was claimed, and what held\n"
    for experiment, claims in claimed.items():
        yield f"## {experiment}\n\n{claims.source}\n\n| claim | verdict | what decides it |\n|---|---|---|"
        used, commands = [], []
        for claim in claims.claims:
            fitting = [run for run in known[experiment] if also_asked(run) == set(claim.asked)]
            verdicts = [judged(run, claim, claimed, claims.epochs, known) for run in fitting]
            decides = "<br>".join(f"{label(verdict.run, runs)}: {verdict.figure}" for verdict in verdicts)
            says = f"{claim.says} ({claim.caution})" if claim.caution else claim.says
            yield f"| {cell(says)} | **{in_words(verdicts)}** | {cell(decides)} |"
            used += [run for run in fitting if run not in used]
            if not fitting:
                shorter = [f"train.epochs={claim.epochs}"] if claim.epochs else []
                commands.append(
                    shell_line("train.py", f"experiment={experiment}", *claim.asked, *shorter, *claims.watch)
                )
        yield ""
        yield from (f"* not run: `{line}`" for line in dict.fromkeys(commands))
        yield from (f"* {label(run, runs)}: {about(run)}" for run in used)
        for run in known[experiment]:
            if run not in used:
                yield f"* {label(run, runs)}: not judged, as it was also asked for {' '.join(sorted(also_asked(run)))}"
        if out and used:
            yield from images(min(used, key=lambda run: len(also_asked(run))), experiment.replace("/", "-"), out)
        yield ""


def about(run: RunFolder) -> str:
    """How to make the run again, where it was made and how long it took."""
    asked = [f"{name}={value}" for name, value in run.said.items() if name != "experiment" and "hydra" not in name]
    again = shell_line("train.py", f"experiment={run.setting('experiment')}", *asked)
    machine = run.status["machine"] or "machine unknown"
    return f"`{again}`; {checks.minutes(run)} of training, to epoch {run.status['epoch']:.4g}; {machine}"


def label(run: RunFolder, runs: list[RunFolder]) -> str:
    """The name of its folder, with the one above where that is the name of several."""
    several = sum(other.name == run.name for other in runs) > 1
    return f"{run.folder.resolve().parent.name}/{run.name}" if several else run.name


def cell(text: str) -> str:
    """Text in a table of Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")


def images(run: RunFolder, name: str, out: Path) -> Iterator[str]:
    """Small copies of what the run drew last, and of its losses, as Markdown that shows them."""
    for kind, path in (("images", run.folder / "final.png"), ("losses", run.folder / "figures" / "losses.png")):
        try:
            with Image.open(path) as image:
                small = image.convert("RGB").quantize(32)
        except OSError:  # it is not there, or damaged
            continue
        with files.atomic_write(out / f"{name}_{kind}.png") as file:
            small.save(file, format="png", optimize=True)
        yield f"![{kind} of {run.name}]({name}_{kind}.png)"
