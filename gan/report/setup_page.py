"""The page about one published set-up: settings, reading, differences, claims, curves, images, and what to type."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gan.report.claim_commands import TIMES, missing_commands
from gan.report.claim_files import Claims, Setting
from gan.report.claim_results import ClaimResult, evaluate_claim, is_complete, is_free, is_run_of
from gan.report.composition import compose_settings
from gan.report.runs import RunFolder, flatten
from gan.report.verdicts import count_verdicts
from gan.system import files
from gan.system.escape import markdown, markdown_code

NOT_SAID = "*not said in the text*"
FIGURES = ("curves", "images", "seeds")  # that are drawn from kept runs
EARLIER = {"losses": ("curves",), "samples": ("images", "seeds")}  # figures of earlier runs, and what replaces them
MAX_DRAWN = 12  # seeds in a figure


def write_setup(results: list[ClaimResult], all_runs: list[RunFolder], folder: Path) -> None:
    """Write the page of a set-up into `folder`, and its figures; remove those that no run stands behind.

    Args:
        results: of all claims about it.
    """
    from gan.report.setup_curves import draw_curves  # matplotlib takes half a second, also where nothing is drawn
    from gan.report.setup_images import draw_grids, draw_rows

    experiment, published = results[0].experiment, results[0].published
    runs = first(seed_runs(experiment, published, all_runs))
    drawn = dict.fromkeys(FIGURES) | ({"curves": draw_curves(published.curves, runs)} if runs else {})
    grids = (draw_grids(published.images, title, run) for title, run in runs.items())
    drawn["images"] = next(filter(None, grids), None)
    if runs and (len(runs) > 1 or not drawn["images"]):
        drawn["seeds"] = draw_rows(published.images, runs)
    for kind, content in drawn.items():
        replace(folder / figure_name(experiment, kind), content)
    for earlier, kinds in EARLIER.items():
        if any(drawn[kind] for kind in kinds):
            replace(folder / figure_name(experiment, earlier), None)
    text = "\n".join(setup_page(results, all_runs, folder)) + "\n"
    replace(folder / page_name(experiment), text.encode())


def replace(path: Path, content: bytes | None) -> None:
    """Write a file, or remove it."""
    if content is None:
        path.unlink(missing_ok=True)
    else:
        with files.atomic_write(path) as file:
            file.write(content)


def page_name(experiment: str) -> str:
    return f"{experiment.replace('/', '-')}.md"


def figure_name(experiment: str, kind: str) -> str:
    return f"{experiment.replace('/', '-')}_{kind}.png"


def setup_page(results: list[ClaimResult], all_runs: list[RunFolder], folder: Path) -> Iterator[str]:
    """The lines of the page, in Markdown, with the figures that are in `folder`."""
    experiment, published = results[0].experiment, results[0].published
    runs = seed_runs(experiment, published, all_runs)
    yield f"# {experiment}\n\n{published.source}. *`python -m gan.report --claims --out docs` writes this page.*\n"
    sources = (
        f"[configuration](../../conf/experiment/{experiment}.yaml)",
        f"[claims as data](../../gan/report/claims/{experiment}.yaml)",
    )
    yield f"{' · '.join(['[all set-ups](../results.md)', *sources, '[earlier findings](findings.md)'])}\n"
    yield from describe_settings(experiment, published, first(runs))
    yield from bullets("Our reading", published.reading, "The text leaves nothing open that we know of.")
    yield from bullets("Differences that remain", published.differences, "None that we know of.")
    yield from describe_claims(results)
    if len(runs) > MAX_DRAWN:
        yield f"\nOf {len(runs)} seeds the first {MAX_DRAWN} are drawn."
    if not runs:
        yield "\nNo run of the set-up itself is kept yet."
    yield from describe_curves(experiment, published, folder)
    yield from describe_images(experiment, published, folder)
    yield f"\n## Reproduce\n\nAll runs that its claims want, and then every claim with its verdict. {TIMES}\n\n```bash"
    nothing = [evaluate_claim(experiment, published, claim, []) for claim in published.claims]
    yield from missing_commands(nothing, [])
    yield "python -m gan.report --claims outputs\n```"


def bullets(title: str, items: list[str], otherwise: str) -> Iterator[str]:
    """A section with a list, or else a sentence."""
    yield f"\n## {title}\n"
    yield from [f"* {item}" for item in items] or [otherwise]


def describe_settings(experiment: str, published: Claims, runs: dict[str, RunFolder]) -> Iterator[str]:
    """The author's settings beside ours, from the configuration; and kept runs that were made with other ones."""
    config = compose_settings(f"experiment={experiment}", *published.overrides)
    yield "## Settings\n\n| | the author | ours |\n|---|---|---|"
    for setting in published.settings:
        author = NOT_SAID if setting.author is None else setting.author
        yield f"| {setting.what} | {author} | {' '.join(our_values(setting, config))} |"
    command = " ".join([f"experiment={experiment}", *published.overrides])
    yield f"\nOurs is `{command}`. Runs for its claims have {published.length}, unless a claim needs others."
    current = dict(flatten(config))
    names = [name for setting in published.settings for name in setting.ours if not is_free(name)]
    for run in runs.values():
        own = {name: run.settings[name] for name in names if name in run.settings}
        if other := [f"{name}={value}" for name, value in own.items() if value != current[name]]:
            yield f"\nSeed {markdown(run.seed)} was run with other settings: {markdown_code(' '.join(other))}."


def our_values(setting: Setting, config: dict[str, Any]) -> Iterator[str]:
    """Our settings that stand for one of the author's, as they are typed."""
    for name in setting.ours:
        value: Any = config
        for key in name.split("."):
            value = value[key]
        yield f"`{name}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}`"


def seed_runs(experiment: str, published: Claims, all_runs: list[RunFolder]) -> dict[str, RunFolder]:
    """A run of each seed of the set-up itself, by `seed 0` with how it ended, if early.

    Of a seed the shortest run that is long enough, or else the longest.
    """
    length = published.length

    def is_whole(run: RunFolder) -> bool:
        reached = length.of(run.status)
        return reached >= length.amount and is_complete(run, length._replace(amount=reached))

    def preference(run: RunFolder) -> tuple[bool, float]:
        return (False, run.status["epoch"]) if is_whole(run) else (True, -run.status["epoch"])

    by_seed: dict[str, RunFolder] = {}
    for run in sorted(all_runs, key=preference):
        if is_run_of(run, experiment, published.overrides) and (run.rows or run.sample_grids):
            by_seed.setdefault(run.seed, run)
    ordered = sorted(by_seed.items(), key=lambda item: (len(item[0]), item[0]))
    return {f"seed {seed}{'' if is_whole(run) else ending(run)}": run for seed, run in ordered}


def first(runs: dict[str, RunFolder]) -> dict[str, RunFolder]:
    """Those that are drawn."""
    return dict(itertools.islice(runs.items(), MAX_DRAWN))


def ending(run: RunFolder) -> str:
    """`, diverged at epoch 0.06`."""
    return f", {run.status['state']} at epoch {run.status['epoch']:.3g}"


def describe_claims(results: list[ClaimResult]) -> Iterator[str]:
    """A row for each claim, with what each seed says."""
    yield f"\n## Claims\n\n**{count_verdicts(result.verdict for result in results)}**\n"
    yield "| | the author's words, in short | each seed | seeds | verdict |\n|---|---|---|---|---|"
    for result in results:
        claim = result.claim
        text = f"{claim.text} *{claim.note}*" if claim.note else claim.text
        variant = f" `{' '.join(claim.overrides)}`" if claim.overrides != result.published.overrides else ""
        outcomes = [
            f"{markdown(run.seed)}: {'**held**' if held else 'did not hold'}, {markdown(evidence)}"
            for run, (held, evidence) in result.counted
        ]
        seeds = "<br>".join(outcomes) or (f"*Before: {claim.former}.*" if claim.former else "")
        yield f"| {result.number} | {text}{variant} | {seeds} | {result.verdict.share} | {result.verdict} |"
    yield "\nRuns that do not count are named in [results](../results.md#runs). *Before*: of earlier runs, no verdict."


def describe_curves(experiment: str, published: Claims, folder: Path) -> Iterator[str]:
    """What is known of the author's curves, and ours."""
    plan = published.curves
    yield f"\n## Curves\n\n{plan.author or 'Nothing is known of curves of the author.'}"
    if (folder / figure_name(experiment, "curves")).exists():
        if plan.added:
            yield "The lowest panel of each seed is our addition." if plan.panels else "The panels are our choice."
        yield f"\n![curves of each seed]({figure_name(experiment, 'curves')})"
    else:
        yield from earlier_figure(experiment, "losses", folder)


def describe_images(experiment: str, published: Claims, folder: Path) -> Iterator[str]:
    """What is known of the author's images, and ours."""
    plan = published.images
    yield f"\n## Images\n\n{plan.author or 'Nothing is known of images of the author.'}"
    shown = [kind for kind in ("images", "seeds") if (folder / figure_name(experiment, kind)).exists()]
    captions = {
        "images": "Grids of the first seed that has any, with real images at the end:",
        "seeds": f"Of each seed the first images of its grids, by {plan.unit}, with real images at the end:",
    }
    for kind in shown:
        yield f"\n{captions[kind]}\n\n![{kind}]({figure_name(experiment, kind)})"
    if not shown:
        yield from earlier_figure(experiment, "samples", folder)


def earlier_figure(experiment: str, kind: str, folder: Path) -> Iterator[str]:
    """A figure of an earlier run, where there is one and none of a kept run."""
    name = figure_name(experiment, kind)
    if (folder / name).exists():
        yield "\nOf an earlier run, which is not kept and decides nothing ([its command](former_claims.md)):\n"
        yield f"![{kind} of an earlier run]({name})"
