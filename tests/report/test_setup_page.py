"""The pages about published set-ups: what they say, and that each number of ours is the configuration's."""

import functools
import json
import math
import re

import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image

from gan.report.__main__ import kept_runs
from gan.report.claim_files import load_claims
from gan.report.claim_results import evaluate_claim
from gan.report.runs import RunFolder, find_runs
from gan.report.setup_curves import LINES
from gan.report.setup_page import MAX_DRAWN, page_name, seed_runs, setup_page, write_setup
from tests.conftest import ROOT, composed
from tests.report.conftest import write_claim_run
from tests.report.test_strangers import NASTY, Rendered, render_as_commonmark, render_as_python

PUBLISHED = load_claims()
RESULTS = ROOT / "docs" / "results"
NAME = "blog/paper_sgd"


def evaluate(experiment, runs):
    published = PUBLISHED[experiment]
    return [evaluate_claim(experiment, published, claim, runs) for claim in published.claims]


def page(experiment, runs, folder):
    return "\n".join(setup_page(evaluate(experiment, runs), runs, folder)) + "\n"


@functools.cache
def find_kept():
    """The kept runs, each of whose files is read once."""
    return find_runs(kept_runs())


def section(text, title):
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def settings_of(text):
    """Each row of the table of settings: its name, the author's, and ours by name."""
    rows = [line.strip("| ").split(" | ") for line in section(text, "Settings").splitlines() if line.startswith("| ")]
    return {what: (author, dict(re.findall(r"`([\w.]+)=(.*?)`", ours))) for what, author, ours in rows[1:]}


def write_seed(folder, seed, *, epochs=75, grids=(), config=None, **status) -> RunFolder:
    """A run of NAME with 10 steps an epoch, and grids of 2x2 black images after some epochs."""
    rows = [(epoch, 1.2, 0.8, 0.6, 0.4) for epoch in range(1, math.ceil(epochs) + 1)]
    overrides = [f"experiment={NAME}", f"seed={seed}"]
    run = write_claim_run(folder, *overrides, rows=rows, steps=round(10 * epochs), **status)
    (folder / "samples").mkdir()
    for epoch in grids:
        grid_image().save(folder / "samples" / f"step_{10 * epoch:07d}.png")
    if config:
        (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def as_typed(value):
    """A value as on the command line."""
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return json.dumps(plain).replace(", ", ",")


def grid_image(side=28, count=2, shade=0):
    size = count * (side + 1) + 1
    grid = Image.new("L", (size, size), 64)
    for number in range(count * count):
        y, x = divmod(number, count)
        grid.paste(shade, (x * (side + 1) + 1, y * (side + 1) + 1, (x + 1) * (side + 1), (y + 1) * (side + 1)))
    return grid


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_the_pages_are_what_the_program_prints(experiment, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page(experiment, find_kept(), RESULTS)
    assert text == (RESULTS / page_name(experiment)).read_text("utf-8"), "python -m gan.report --claims --out docs"
    assert len(text.splitlines()) <= 150
    links = re.findall(r"\]\(([^):#]+)", text)
    assert {"../results.md", f"../../conf/experiment/{experiment}.yaml"} <= {*links}
    assert not [link for link in links if not (RESULTS / link).exists()]


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_each_value_of_ours_is_that_of_the_configuration(experiment, tmp_path):
    published, rows = PUBLISHED[experiment], settings_of(page(experiment, [], tmp_path))
    cfg = composed(f"experiment={experiment}", *published.overrides)
    assert list(rows) == [setting.what for setting in published.settings] and len(rows) > 5
    for setting in published.settings:
        author, ours = rows[setting.what]
        values = {name: OmegaConf.select(cfg, name) for name in setting.ours}
        assert ours == {name: value if isinstance(value, str) else as_typed(value) for name, value in values.items()}
        if isinstance(setting.author, (int, float)):  # a number of the author's is ours
            assert [*values.values()] == [setting.author]
        assert author == ("*not said in the text*" if setting.author is None else str(setting.author))


def test_a_setting_that_the_text_does_not_have_is_named(tmp_path):
    rows = settings_of(page(NAME, [], tmp_path))
    assert {what for what, (author, _) in rows.items() if author == "*not said in the text*"} == {
        "D's loss",
        "order of updates",
        "batch size",
    }
    assert rows["batch size"][1] == {"train.batch_size": "64"}


def test_a_set_up_like_another_has_its_text_with_what_is_its_own():
    first, third = PUBLISHED[NAME], PUBLISHED["blog/paper_batchnorm_softlabel"]
    by_name = {setting.what: setting for setting in third.settings}
    assert [*by_name][: len(first.settings)] == [setting.what for setting in first.settings]
    assert "BatchNorm" in str(by_name["G"].author) and "Adam" in str(by_name["G's optimizer"].author)
    assert first.reading == third.reading[: len(first.reading)] and len(third.differences) > len(first.differences)
    assert third.curves == first.curves and third.images != first.images


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_curves_and_images_are_those_that_a_run_logs_and_saves(experiment):
    published = PUBLISHED[experiment]
    cfg = composed(f"experiment={experiment}", *published.overrides)
    watch = cfg.watch
    assert {name for panel in [*published.curves.panels, *published.curves.added] for name in panel} <= LINES.keys()
    periods = [watch.samples_every] if isinstance(watch.samples_every, (int, str)) else [*watch.samples_every]
    of_unit = {"epoch": [int(each.split()[0]) for each in map(str, periods) if "epoch" in each],
               "step": [each for each in periods if isinstance(each, int)]}[published.images.unit]  # fmt: skip
    for at in published.images.at:
        assert any(at % period == 0 for period in of_unit) or f"{at} {published.images.unit}" in watch.samples_at
    has_grids = not cfg.dataset._target_.startswith("gan.data.point_sets.")
    assert bool(published.images.at) == has_grids
    assert published.images.unit == "step" or all(at <= published.length.amount for at in published.images.at)
    assert not published.images.normalized or watch.samples_normalized


def test_a_page_without_runs_shows_the_figures_of_earlier_runs_as_such(tmp_path):
    text = page(NAME, [], tmp_path)
    assert "No run of the set-up itself is kept yet" in text and "![" not in text
    for kind in ("losses", "samples"):
        (tmp_path / f"blog-paper_sgd_{kind}.png").write_bytes(b"")
    text = page(NAME, [], tmp_path)
    for title, kind in (("Curves", "losses"), ("Images", "samples")):
        shown = section(text, title)
        assert "Of an earlier run, which is not kept" in shown and f"](blog-paper_sgd_{kind}.png)" in shown


def test_each_seed_of_a_claim_is_named_with_its_outcome(tmp_path):
    runs = [write_seed(tmp_path / "0", 0), write_seed(tmp_path / "1", 1, epochs=3, state="diverged")]
    text = section(page(NAME, runs, tmp_path), "Claims")
    row = next(line for line in text.splitlines() if line.startswith("| 1 |"))
    assert "0: **held**, medians 1.2 and 0.8" in row and "1: did not hold, it diverged at step 30" in row
    assert "1 of 2 (0.09 to 0.91) | 1 of 2 seeds, 8 to run |" in row


def test_the_commands_are_those_of_all_wanted_seeds_also_where_runs_are_kept(tmp_path):
    runs = [write_seed(tmp_path / str(seed), seed) for seed in range(10)]
    text = section(page(NAME, runs, tmp_path), "Reproduce")
    assert re.search(rf"train.py -m experiment={NAME} .* seed=0,1,2,3,4,5,6,7,8,9 .*  # 6.2 hours\n", text)
    assert "-m gan.report --claims outputs\n```" in text
    baselines = section(page("blog/paper_batchnorm_softlabel", [], tmp_path), "Reproduce")
    assert "experiment=blog/paper_adam" in baselines and f"experiment={NAME}" in baselines


def test_a_kept_run_that_was_made_with_another_value_is_named(tmp_path):
    same, other, long = {"batch_size": 64}, {"batch_size": 65}, {"batch_size": 64, "epochs": 300}
    runs = [
        write_seed(tmp_path / str(seed), seed, config={"train": train, "model": {"generator": {"hidden": [256, 512]}}})
        for seed, train in enumerate((same, other, long))
    ]
    text = section(page(NAME, runs, tmp_path), "Settings")
    assert re.findall(r"Seed .*", text) == ["Seed 1 was run with other settings: `train.batch_size=65`."]


def write(runs, folder):
    write_setup(evaluate(NAME, runs), runs, folder)
    return {path.name.removeprefix("blog-paper_sgd") for path in folder.iterdir()}


def test_figures_of_kept_runs_replace_those_of_earlier_ones_and_go_with_their_runs(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("blog-paper_sgd_losses.png", "blog-paper_sgd_samples.png", "blog-paper_sgd_other.png"):
        (out / name).write_bytes(b"earlier")
    assert write([], out) == {".md", "_losses.png", "_samples.png", "_other.png"}
    without_images = [write_seed(tmp_path / "0", 0)]
    assert write(without_images, out) == {".md", "_curves.png", "_samples.png", "_other.png"}
    runs = [write_seed(tmp_path / str(seed), seed, grids=[1, 10, 75]) for seed in (1, 2)]
    everything = {".md", "_curves.png", "_images.png", "_seeds.png", "_other.png"}
    assert write(runs, out) == everything
    text = (out / "blog-paper_sgd.md").read_text("utf-8")
    assert set(re.findall(r"\]\(blog-paper_sgd(_\w+.png)\)", text)) == everything - {".md", "_other.png"}
    assert write(runs, out) == everything and (out / "blog-paper_sgd.md").read_text("utf-8") == text
    assert write(runs[:1], out) == everything - {"_seeds.png"}  # of one seed, its grids are all
    assert write([], out) == {".md", "_other.png"}


def test_of_a_seed_the_shortest_run_that_is_long_enough_is_drawn_and_one_that_is_not_says_so(tmp_path):
    runs = [
        write_seed(tmp_path / "a", 0, epochs=80, grids=[20]),
        write_seed(tmp_path / "b", 0, epochs=75, grids=[10]),
        write_seed(tmp_path / "c", 0, epochs=40, state="diverged"),
        write_seed(tmp_path / "d", 10, epochs=0.4, state="diverged"),
        write_seed(tmp_path / "e", 9, epochs=14.2, state="stopped"),
    ]
    drawn = seed_runs(NAME, PUBLISHED[NAME], runs)
    assert list(drawn) == ["seed 0", "seed 9, stopped at epoch 14.2", "seed 10, diverged at epoch 0.4"]
    assert [run.name for run in drawn.values()] == ["b", "e", "d"]


@pytest.mark.slow
def test_many_seeds_cost_few_lines_and_small_figures(tmp_path):
    config = {"train": {"batch_size": 65}}
    runs = [write_seed(tmp_path / str(seed), seed, grids=[1, 75], config=config) for seed in range(40)]
    out = tmp_path / "out"
    out.mkdir()
    write(runs, out)
    text = (out / "blog-paper_sgd.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150 and f"Of 40 seeds the first {MAX_DRAWN} are drawn." in text
    assert all(path.stat().st_size < 100_000 for path in out.glob("*.png"))


@pytest.mark.parametrize("render", [render_as_python, render_as_commonmark])
def test_a_run_of_a_stranger_has_no_effect_on_the_page(tmp_path, render):
    nasty = f"{NASTY} $x_ \\frac"
    config = {"train": {"batch_size": nasty}}
    runs = [
        write_seed(tmp_path / "a`b", nasty, grids=[1, 10], config=config, state="diverged", error=nasty, machine=nasty),
        write_seed(tmp_path / "c", "$\\frac{$", grids=[1], epochs=3, state=nasty),
    ]
    rows = [{"step": 5, "epoch": 9e200, "generator/loss": 1e299}, {"step": 6, "epoch": 7, "generator/loss": -1e299}]
    rows += [{"step": 7, "epoch": 8, "generator/loss": text} for text in (nasty, None, True, [1])]
    with (runs[0].folder / "metrics.jsonl").open("a") as file:
        file.writelines(f"{yaml.safe_dump(row, default_flow_style=True, width=10**6).strip()}\n" for row in rows)
    outside = tmp_path / "private.png"
    Image.new("L", (8, 8), 200).save(outside)
    (runs[0].folder / "samples" / "real.png").symlink_to(outside)
    (runs[0].folder / "samples" / "step_0000200.png").write_bytes(b"no image")
    Image.new("L", (5000, 5000)).save(runs[0].folder / "samples" / "step_0000300.png")
    out = tmp_path / "out"
    out.mkdir()
    assert write(runs, out) == {".md", "_curves.png", "_images.png", "_seeds.png"}
    text = (out / "blog-paper_sgd.md").read_text("utf-8")
    assert "cmd" in text and all(line.isprintable() for line in text.splitlines())
    rendered = Rendered(render(text))
    assert "table" in rendered.tags and not rendered.tags & {"script", "b"}
    ours = ("../", "blog-paper_sgd", "findings.md", "former_claims.md")
    assert all(address.startswith(ours) for address in rendered.addresses)
    with Image.open(out / "blog-paper_sgd_images.png") as image:
        assert 200 not in {color for _, color in image.convert("L").getcolors()}
