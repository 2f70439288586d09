"""The page about claims: one table, the runs behind it, and what to type for those that are missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gan.cli.overrides import shell_line
from gan.config import CONF
from gan.report.claim_files import load_claims
from gan.report.claim_results import ClaimResult, describe_run, evaluate_claims, extra_overrides, is_complete, is_run_of
from gan.report.runs import RunFolder
from gan.report.verdicts import count_verdicts
from gan.system import files
from gan.system.escape import markdown, markdown_code
from gan.system.images import read_image

DOCS = CONF.parent / "docs"
FIGURES = {"losses": "figures/losses.png", "predictions": "figures/predictions.png", "samples": "final.png"}
IMAGES = "results"  # the folder of the images, beside the page
INTRODUCTION = """\
# Results of the published set-ups

Every set-up is run with the numbers as published, from several seeds, and each claim of its author is checked by a
program ([gan/report/claims](../gan/report/claims), [checks](../gan/report/checks.py)). This page is what it prints:

```bash
python -m gan.report --claims --out docs    # of the runs in docs/results/runs, and in folders that are named
```

* **Seeds**: for how many of those that decide the claim it held, with the 95 % interval of that share (Wilson).
* **Verdict**: *held* or *did not hold* where the interval excludes 1/2 (4 of 4, 9 of 10); *depends on the seed* where
  both were seen; otherwise *k of n seeds*, which proves nothing.
* **Not counted** are runs that are too short, or lack a number, or whose readers of images disagree; they are named
  below. For a run that diverged a claim did not hold, unless the run would bear it out nevertheless.
* Thresholds are ours. `fid`, `coverage` and `modes_in_100` use a classifier's features, for which speckled digits are
  nothing known; `pixel_*` see neither sharpness nor variety ([metrics](metrics.md#list-of-metrics)).
* *Before* stands where no run decides a claim yet: numbers of earlier runs, mostly of one seed, that are not kept. They
  are no verdict; [former_claims.md](results/former_claims.md) has those of the former checks and
  [findings.md](results/findings.md) what was found."""

TIMES = "Times are of one CPU core, as far as measured; several runs can share the cores."


class Missing(NamedTuple):
    """Runs to make: a set-up with overrides, and so many epochs."""

    experiment: str
    overrides: tuple[str, ...]
    epochs: int


def claims_page(all_runs: list[RunFolder], out: Path | None = None) -> Iterator[str]:
    """The lines of the page, in Markdown. With `out`, the figures of the runs are written there, into IMAGES."""
    results = evaluate_claims(all_runs)
    yield INTRODUCTION
    yield f"\n**{count_verdicts(result.verdict for result in results)}**\n"
    yield "| claim | the author's words, in short | ours | seeds | verdict | figure |\n|---|---|---|---|---|---|"
    yield from (table_row(result, out) for result in results)
    yield "\n## Runs\n"
    yield from describe_runs(results, all_runs)
    yield f"\n## Missing runs\n\n{TIMES}\n\n```bash"
    yield from missing_commands(results, all_runs)
    yield "```"


def table_row(result: ClaimResult, out: Path | None) -> str:
    """A claim with its evidence and verdict."""
    claim = result.claim
    text = f"{claim.text} *{claim.note}*" if claim.note else claim.text
    ours = "<br>".join(
        f"{markdown(outcome.run.seed)}: {markdown(outcome.result.evidence)}" for outcome in result.counted
    )
    if not result.counted and claim.former:
        ours = f"*Before: {claim.former}.*"
    figure = figure_link(result, out)
    cells = f"`{result.experiment}` {result.number}", text, ours, result.verdict.share, str(result.verdict), figure
    return f"| {' | '.join(cells)} |"


def figure_link(result: ClaimResult, out: Path | None) -> str:
    """A link to the figure of the first seed that counts, which is written below `out`; or to one that is there."""
    kind, folder = result.claim.figure, out or DOCS
    variant = f"_{result.number}" if result.claim.overrides else ""
    name = f"{result.experiment.replace('/', '-')}{variant}_{kind}.png"
    image = result.counted[0].run.read(read_image, FIGURES[kind]) if out and result.counted else None
    if image is not None:
        with files.atomic_write(folder / IMAGES / name) as file:
            image.convert("RGB").quantize(32).save(file, format="png", optimize=True)
    return f"[{kind}]({IMAGES}/{name})" if (folder / IMAGES / name).exists() else "-"


def describe_runs(results: list[ClaimResult], all_runs: list[RunFolder]) -> Iterator[str]:
    """The runs that count, by what was typed; those that do not, with the reason; and those of other settings."""
    counted = {outcome.run: None for result in results for outcome in result.counted}
    groups: dict[str, list[RunFolder]] = {}
    for run in counted:
        groups.setdefault(describe_run(run), []).append(run)
    for description, runs in groups.items():
        times = "/".join(f"{run.status['seconds'] / 60:.1f}" for run in runs)
        yield f"* {description}; seeds {markdown(', '.join(run.seed for run in runs))}; {times} minutes"
    named: set[RunFolder] = set()
    for result in results:
        for run, (_, reason) in result.others:
            if run not in named:
                claim = f"{result.experiment} {result.number}"
                yield f"* Not counted for {claim}, {markdown(run_name(run, all_runs))}: {markdown(reason)}"
            named.add(run)
    baselines = [baseline for result in results for baseline in result.claim.baselines]
    named |= {run for run in all_runs for each in baselines if is_run_of(run, each.experiment, each.overrides)}
    for run in all_runs:
        if run.overrides.get("experiment") in load_claims() and run not in counted and run not in named:
            extra = markdown_code(" ".join(sorted(extra_overrides(run))))
            yield f"* Not counted, {markdown(run_name(run, all_runs))}: no claim is about its overrides {extra}"
    if not all_runs:
        yield "None is kept."


def run_name(run: RunFolder, runs: list[RunFolder]) -> str:
    """The name of its folder, with the parent's where several of the runs have that name."""
    ambiguous = sum(other.name == run.name for other in runs) > 1
    return f"{run.folder.resolve().parent.name}/{run.name}" if ambiguous else run.name


def missing_commands(results: list[ClaimResult], all_runs: list[RunFolder]) -> Iterator[str]:
    """A line to type for the wanted seeds of which no run decides a claim, and for their baselines, with its time."""
    published = load_claims()
    wanted: dict[Missing, set[int]] = {}
    for result in results:
        claim = result.claim
        needed = [Missing(result.experiment, tuple(claim.overrides), result.epochs)]
        needed += [
            Missing(each.experiment, tuple(each.overrides), each.epochs or result.epochs) for each in claim.baselines
        ]
        for missing in needed:
            wanted.setdefault(missing, set()).update(result.missing_seeds)
    for missing, seeds in wanted.items():
        there = {
            run.seed
            for run in all_runs
            if is_run_of(run, missing.experiment, list(missing.overrides)) and is_complete(run, missing.epochs)
        }
        if left := [str(seed) for seed in sorted(seeds) if str(seed) not in there]:
            claims = published[missing.experiment]
            words = [f"experiment={missing.experiment}", *missing.overrides, f"train.epochs={missing.epochs}"]
            hours = len(left) * missing.epochs * claims.minutes / 60
            sweep = ["-m"] if len(left) > 1 else []
            line = shell_line("train.py", *sweep, *words, f"seed={','.join(left)}", "threads=1", *claims.watch)
            yield f"{line}  # {hours:.2g} hours"
