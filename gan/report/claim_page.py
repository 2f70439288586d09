"""The page about claims: one table, the runs behind it, and what to type for those that are missing."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from gan.config import CONF
from gan.report.claim_commands import TIMES, missing_commands
from gan.report.claim_files import Claim, load_claims
from gan.report.claim_results import ClaimResult, describe_run, evaluate_claims, extra_overrides, is_run_of
from gan.report.runs import RunFolder
from gan.report.setup_page import figure_name, page_name, replace, write_setup
from gan.report.verdicts import count_verdicts
from gan.system.escape import markdown, markdown_code
from gan.system.images import read_image

DOCS = CONF.parent / "docs"
FIGURES = {  # of a run, by kind
    **{kind: f"figures/{kind}.png" for kind in ("losses", "predictions", "dirac")},
    "samples": "final.png",
}
DRAWN = {  # the figures of a set-up that show it, by the label of the link
    "losses": [("curves", "curves")],
    "predictions": [("curves", "curves")],
    "samples": [("images", "seeds"), ("images", "images")],
}
COLORS = 64  # of a figure
IMAGES = "results"  # the folder of the images, beside the page
INTRODUCTION = """\
# Results of the published set-ups

Every set-up is run with the numbers as published, from several seeds, and each claim of its author is checked by a
program ([gan/report/claims](../gan/report/claims), [checks](../gan/report/checks.py)). This page is what it prints:

```bash
python -m gan.report --claims --out docs    # of the runs in docs/results/runs, and in folders that are named
```

Each set-up has a page, linked below: the author's settings beside ours, our reading of the text and what differs,
curves as the author drew them, images after the same epochs, and what to type.

* **Seeds**: for how many of those that decide the claim it held, with the 95 % interval of that share (Wilson).
* **Verdict**, once all seeds that were chosen beforehand have run: *held* or *did not hold* where the interval
  excludes 1/2 (4 of 4, 9 of 10); *depends on the seed* where both were seen. Otherwise *k of n seeds*.
* **Not counted** are runs that are too short, or lack a number, or whose readers of images disagree; they are named
  below. For a run that diverged a claim did not hold, unless the run would bear it out nevertheless.
* Thresholds are ours. `fid`, `coverage` and `modes_in_100` use a classifier's features, for which speckled digits are
  nothing known; `pixel_*` see neither sharpness nor variety ([metrics](metrics.md#list-of-metrics)).
* *Before* stands where no run decides a claim yet: numbers of earlier runs, mostly of one seed, that are not kept. They
  are no verdict; [former_claims.md](results/former_claims.md) has those of the former checks and
  [findings.md](results/findings.md) what was found."""


def claims_page(all_runs: list[RunFolder], out: Path | None = None) -> Iterator[str]:
    """The lines of the page, in Markdown. With `out`, the pages of the set-ups and all figures are written there.

    They lie in IMAGES, a folder beside the page.
    """
    results = evaluate_claims(all_runs)
    if out:
        write_own_figures(results, out / IMAGES)
        for _, group in itertools.groupby(results, key=lambda result: result.experiment):
            write_setup(list(group), all_runs, out / IMAGES)
    yield INTRODUCTION
    yield f"\n**{count_verdicts(result.verdict for result in results)}**\n"
    yield "| claim | the author's words, in short | ours | seeds | verdict | figure |\n|---|---|---|---|---|---|"
    yield from (table_row(result, (out or DOCS) / IMAGES) for result in results)
    yield "\n## Runs\n"
    yield from describe_runs(results, all_runs)
    yield f"\n## Missing runs\n\n{TIMES}\n\n```bash"
    yield from missing_commands(results, all_runs)
    yield "```"


def table_row(result: ClaimResult, folder: Path) -> str:
    """A claim with its evidence and verdict, a link to its set-up's page, and one to its figure in `folder`."""
    claim = result.claim
    text = f"{claim.text} *{claim.note}*" if claim.note else claim.text
    ours = "<br>".join(
        f"{markdown(outcome.run.seed)}: {markdown(outcome.result.evidence)}" for outcome in result.counted
    )
    if not result.counted and claim.former:
        ours = f"*Before: {claim.former}.*"
    name = f"[`{result.experiment}`]({IMAGES}/{page_name(result.experiment)}) {result.number}"
    cells = name, text, ours, result.verdict.share, str(result.verdict), figure_link(result, folder)
    return f"| {' | '.join(cells)} |"


def figure_link(result: ClaimResult, folder: Path) -> str:
    """A link to the first figure in `folder` that shows the claim: its own, the set-up's, or that of an earlier run."""
    kind, experiment = result.claim.figure, result.experiment
    names = (
        [(kind, own_figure_name(result))]
        if has_own_figure(result)
        else [
            *((label, figure_name(experiment, drawn)) for label, drawn in DRAWN[kind]),
            (f"earlier {kind}", figure_name(experiment, kind)),
        ]
    )
    return next((f"[{label}]({IMAGES}/{name})" for label, name in names if (folder / name).exists()), "-")


def has_own_figure(result: ClaimResult) -> bool:
    """Whether none of its set-up's figures shows the claim: they do not have this kind, or it is about a variant."""
    kind, published = result.claim.figure, result.published
    is_drawn = kind in DRAWN and (kind != "samples" or published.images.at)
    return not is_drawn or result.claim.overrides != published.overrides


def own_figure_name(result: ClaimResult) -> str:
    """The name of its own figure, which claims about the same runs share."""
    published = result.published

    def shown(claim: Claim) -> tuple:
        return claim.overrides, claim.figure, published.length_of(claim)

    first = next(n for n, claim in enumerate(published.claims, 1) if shown(claim) == shown(result.claim))
    return figure_name(result.experiment, f"{first}_{result.claim.figure}")


def write_own_figures(results: list[ClaimResult], folder: Path) -> None:
    """Write the figure of the first seed that counts for each claim with its own; remove it where none has one."""
    for result in filter(has_own_figure, results):
        image = result.counted[0].run.read(read_image, FIGURES[result.claim.figure]) if result.counted else None
        content = io.BytesIO()
        if image is not None:
            small = image.convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE)  # rare colors are kept
            small.save(content, format="png", optimize=True)
        replace(folder / own_figure_name(result), content.getvalue() or None)


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
            if run not in named and run not in counted:
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
