"""Claims about published set-ups, and whether they hold in our runs.

The claims are data: `claims/` has a YAML file for each set-up, named like its experiment.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from gan.cli.overrides import OPERATIONAL, quote_override, shell_line
from gan.config.schema import Strict
from gan.report import checks
from gan.report.checks import CheckResult
from gan.report.measurements import MissingData
from gan.report.runs import RunFolder
from gan.system import files
from gan.system.escape import markdown, markdown_code
from gan.system.images import read_image

FOLDER = Path(__file__).parent / "claims"
# Overrides with which a run is still one of the published set-up: hardware, duration, and what is measured and kept.
FREE = OPERATIONAL | {"experiment", "seed", "device", "precision", "compile", "train.epochs", "train.max_steps"}
FREE_PREFIXES = ("hydra", "watch.scores_", "watch.samples", "watch.final_samples", "watch.gif_", "watch.checkpoint_")
SAME = ("seed", "device", "precision", "compile")  # settings that a run and its baseline must share


class Claim(Strict):
    """One claim about a set-up.

    Args:
        text: the claim, in a sentence.
        check: the name of a function in `checks`.
        arguments: those of the check, besides the run.
        overrides: what a run needs besides `experiment=`.
        epochs: how long a run must be, where that differs from the other claims of the set-up.
        baseline: another set-up with claims; the check also gets its run with the same seed.
        note: what the check does not see; it is shown beside the claim.
    """

    text: str
    check: str
    arguments: dict[str, Any] = Field(default={})
    overrides: list[str] = Field(default=[])
    epochs: int | None = None
    baseline: str | None = None
    note: str | None = None


class Claims(Strict):
    """All claims about a set-up.

    Args:
        source: the publication.
        epochs: how long a run must be.
        watch: overrides with which a run measures what the checks need.
    """

    source: str
    epochs: int
    watch: list[str] = Field(default=[])
    claims: list[Claim]


def load_claims() -> dict[str, Claims]:
    """The claims about each set-up, by its experiment."""
    paths = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in sorted(FOLDER.rglob("*.yaml"))}
    return {name: Claims.model_validate(yaml.safe_load(path.read_text("utf-8"))) for name, path in paths.items()}


def extra_overrides(run: RunFolder) -> set[str]:
    """The overrides of a run that can change its numbers, besides its experiment."""
    overrides = {name: value.replace(" ", "") for name, value in run.overrides.items() if name not in FREE}
    return {f"{name}={value}" for name, value in overrides.items() if not name.startswith(FREE_PREFIXES)}


def evaluate_claim(
    run: RunFolder, claim: Claim, epochs: int, claims: dict[str, Claims], runs: dict[str, list[RunFolder]]
) -> CheckResult:
    """Check a claim against a run of `epochs` epochs or more; `claims` and `runs` hold all others, by experiment."""
    decided_by_divergence = claim.check == "diverges" and run.status["state"] == "diverged"
    if not decided_by_divergence and (reason := why_incomplete(run, epochs)):
        return CheckResult(None, reason)
    arguments = claim.arguments
    if claim.baseline:
        length = claims[claim.baseline].epochs
        baselines = [other for other in runs[claim.baseline] if is_baseline(other, run, length)]
        if not baselines:
            reason = f"there is no run of {claim.baseline} of {length} epochs with the same {', '.join(SAME)}"
            return CheckResult(None, reason)
        arguments = arguments | {"baseline": baselines[0]}
    try:
        return getattr(checks, claim.check)(run, **arguments)
    except MissingData as error:
        return CheckResult(None, str(error))


def is_baseline(other: RunFolder, run: RunFolder, epochs: int) -> bool:
    """Whether `other` is a complete run of its set-up, of exactly `epochs`, that `run` can be compared with."""
    same = all(other.setting(name) == run.setting(name) for name in SAME)
    complete = not why_incomplete(other, epochs) and other.status["epoch"] == epochs
    return same and complete and not extra_overrides(other)


def why_incomplete(run: RunFolder, epochs: int) -> str | None:
    """Why a run cannot be evaluated yet; None where it has ended after `epochs` or more."""
    state, epoch = run.status["state"], run.status["epoch"]
    if state not in ("finished", "stopped"):
        return f"it is {state}, at epoch {epoch:.4g} of {epochs}"
    if epoch >= epochs:
        return None
    command = shell_line("train.py", quote_override("resume", str(run.folder)), f"train.epochs={epochs}")
    return f"it is at epoch {epoch:.4g} of {epochs}: {command}"


def summarize(results: list[CheckResult]) -> str:
    """The results of one claim for runs of different seeds, such as `held in 1 of 3 runs`."""
    decided = [result.held for result in results if result.held is not None]
    if not decided:
        return "undecided" if results else "not run"
    if len(set(decided)) == 1:
        return "held" if decided[0] else "did not hold"
    return f"held in {sum(decided)} of {len(decided)} runs"


def claims_markdown(all_runs: list[RunFolder], out: Path | None = None) -> Iterator[str]:
    """Lines of Markdown: each claim with its result and evidence, and the commands of the runs behind it or missing.

    With `out`, the samples and losses of one run of each set-up are written there and shown, if possible of one
    without extra overrides.
    """
    claims = load_claims()
    runs = {name: [run for run in all_runs if run.overrides.get("experiment") == name] for name in claims}
    yield "# Claims and results\n"
    for experiment, published in claims.items():
        yield f"## {experiment}\n{published.source}\n\n| claim | result | evidence |\n|---|---|---|"
        used, missing = [], []
        for claim in published.claims:
            fitting = [run for run in runs[experiment] if extra_overrides(run) == set(claim.overrides)]
            epochs = claim.epochs or published.epochs
            results = [evaluate_claim(run, claim, epochs, claims, runs) for run in fitting]
            counted: dict[tuple[str, bool | None], tuple[RunFolder, CheckResult]] = {}
            lines = []
            for run, result in zip(fitting, results, strict=True):
                first = counted.setdefault((run.seed, result.held), (run, result))[0]
                repeat = "" if first is run else f" (not counted: the seed of {run_name(first, all_runs)})"
                lines.append(markdown(f"{run_name(run, all_runs)}: {result.evidence}{repeat}"))
            summary, evidence = summarize([result for _, result in counted.values()]), "<br>".join(lines)
            text = f"{claim.text} ({claim.note})" if claim.note else claim.text
            yield f"| {escape_cell(text)} | **{summary}** | {evidence} |"
            used += [run for run in fitting if run not in used]
            if not fitting:
                length = [f"train.epochs={claim.epochs}"] if claim.epochs else []
                overrides = [f"experiment={experiment}", *claim.overrides, *length, *published.watch]
                missing.append(shell_line("train.py", *overrides))
        yield ""
        yield from (f"* not run: `{command}`" for command in dict.fromkeys(missing))
        yield from (f"* {markdown(run_name(run, all_runs))}: {describe_run(run)}" for run in used)
        for run in runs[experiment]:
            if run not in used:
                extra = " ".join(sorted(extra_overrides(run)))
                name = markdown(run_name(run, all_runs))
                yield f"* {name}: not evaluated, because of its overrides {markdown_code(extra)}"
        yield ""
        if out and used:
            plainest = min(used, key=lambda run: len(extra_overrides(run)))
            if images := " ".join(write_images(plainest, experiment, out)):
                yield f"{images}\n"


def describe_run(run: RunFolder) -> str:
    """Its command, how long it took and on which machine."""
    names = [name for name in run.overrides if name != "experiment" and not name.startswith("hydra")]
    overrides = [f"{name}={run.overrides[name]}" for name in ["experiment", *names]]
    command = shell_line("train.py", *overrides)
    machine = run.status["machine"] or "machine unknown"
    duration = f"{checks.minutes(run)} of training, to epoch {run.status['epoch']:.4g}"
    return f"{markdown_code(command)}; {duration}; {markdown(machine)}"


def run_name(run: RunFolder, runs: list[RunFolder]) -> str:
    """The name of its folder, with the parent's where several of the runs have that name."""
    ambiguous = sum(other.name == run.name for other in runs) > 1
    return f"{run.folder.resolve().parent.name}/{run.name}" if ambiguous else run.name


def escape_cell(text: str) -> str:
    """Markdown of our own as the cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def write_images(run: RunFolder, experiment: str, out: Path) -> Iterator[str]:
    """Write small copies of a run's final samples and losses into `out`, and yield the Markdown that shows each."""
    for kind, path in (("samples", "final.png"), ("losses", "figures/losses.png")):
        image = run.read(read_image, path)
        if image is None:  # missing or damaged
            continue
        small = image.convert("RGB").quantize(32)
        name = f"{experiment.replace('/', '-')}_{kind}.png"
        with files.atomic_write(out / name) as file:
            small.save(file, format="png", optimize=True)
        yield f"![{kind} of {markdown(run.name)}]({name})"
