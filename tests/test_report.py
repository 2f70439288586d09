"""The page about runs: numbers worked out by hand, images in their places, and nothing to fetch."""

import base64
import copy
import csv
import functools
import html.parser
import json
import re
import shutil
import subprocess

import pytest
import yaml
from PIL import Image

from gan.config.errors import ConfigError
from gan.report import curves
from gan.report.cells import Number, best, mean_over
from gan.report.page import Report
from gan.report.runs import differing, find_runs, groups, thinned
from tests.conftest import ROOT

CHOICES = {"model": "mlp", "optim": "adam", "trick": None, "hydra/launcher": "basic"}
CONFIG = {"seed": 0, "train": {"batch_size": 32}, "model": {"generator": {"hidden": [32]}}}


def write_run(folder, *said, losses=(1.0, 0.5), state="finished", scores=None, error=None, frames=3, shade=100):
    """What a run leaves behind, without the run."""
    (folder / ".hydra").mkdir(parents=True)
    chosen = CHOICES | {name: value for name, value in (each.split("=", 1) for each in said) if name in CHOICES}
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.dump(list(said)))
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.dump({"hydra": {"runtime": {"choices": chosen}}}))
    config = copy.deepcopy(CONFIG)
    for name, value in (each.split("=", 1) for each in said):
        *path, last = name.split(".")
        node = functools.reduce(lambda node, part: node[part], path, config)
        if not isinstance(node.get(last), dict) and name not in CHOICES:
            node[last] = yaml.safe_load(value)
    (folder / ".hydra" / "config.yaml").write_text(yaml.dump(config))
    rows = [
        {"step": 10 * i, "epoch": i, "seconds": i, "discriminator/loss": loss, "generator/loss": 2 * loss}
        for i, loss in enumerate(losses, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    last = {"discriminator/loss": losses[-1], "generator/loss": 2 * losses[-1]} if losses else {}
    found = {"state": state, "step": 10 * len(losses), "seconds": 7.0, "images_per_second": 100.0, "last": last}
    (folder / "status.json").write_text(
        json.dumps(found | {"scores": scores or {}, "error": error, "machine": "a box"})
    )
    (folder / "samples").mkdir()
    for number in range(frames):
        Image.new("L", (8, 8), shade + number).save(folder / "samples" / f"step_{number:07d}.png")


@pytest.fixture
def sweep(tmp_path):
    """Two models by two optimisers by two seeds; one optimiser has no image."""
    number = 0
    for model, optim, losses in (
        ("mlp", "adam", (0.4, 0.6)),
        ("mlp", "sgd", (1.0, 1.0)),
        ("dcgan", "adam", (0.2, 0.3)),
    ):
        for seed, loss in enumerate(losses):
            said = [f"model={model}", f"optim={optim}", f"seed={seed}"]
            write_run(
                tmp_path / f"{number}_{model}_{optim}",
                *said,
                losses=(1.0, loss),
                scores={"fid": 10 * loss, "dataset": "x"},
                shade=20 * number,
            )
            number += 1
    write_run(
        tmp_path / "6_dcgan_sgd",
        "model=dcgan",
        "optim=sgd",
        "seed=0",
        losses=(),
        state="refused",
        error="no <b>luck</b>.",
        frames=0,
    )
    return tmp_path


def test_a_mean_has_the_spread_of_a_sample():
    assert mean_over([1.0, 2.0, 3.0, None, float("nan")]) == Number(2.0, 1.0)
    assert (
        str(mean_over([1.0, 2.0, 3.0])) == "2 ± 1"
        and str(mean_over([4.0])) == "4"
        and str(mean_over([4.0, 4.0])) == "4"
    )
    assert mean_over([None]) is None and best("fid", [Number(2.0), Number(1.0), None]) == 1.0
    assert best("recall", [Number(2.0), Number(1.0)]) == 2.0 and best("D loss", [Number(2.0), Number(1.0)]) is None


def test_runs_that_differ_in_their_seed_alone_are_one(sweep):
    runs = find_runs([sweep])
    assert differing(runs) == ["model", "optim", "seed"]
    found = groups(runs)
    assert [group.label for group in found] == [
        "model=mlp, optim=adam", "model=mlp, optim=sgd", "model=dcgan, optim=adam", "model=dcgan, optim=sgd",
    ]  # fmt: skip
    numbers = found[0].numbers()
    assert numbers["D loss"] == mean_over([0.4, 0.6]) and numbers["G loss"].mean == pytest.approx(1.0)
    assert numbers["fid"].mean == pytest.approx(5.0) and "dataset" not in numbers
    assert found[3].state == "refused"


def test_a_refused_run_takes_no_part_in_a_mean(sweep):
    write_run(sweep / "7", "model=mlp", "optim=adam", "seed=x", losses=(), state="refused", error="no.", frames=0)
    first, *_, last = groups(find_runs([sweep]))
    assert (len(first.runs), len(last.runs)) == (2, 1) and first.settings == last.settings
    assert first.numbers()["steps"] == mean_over([20, 20]) and last.state == "refused"


def test_what_was_not_typed_has_its_default(tmp_path):
    write_run(tmp_path / "a", "train.batch_size=64", "model=dcgan", "resume=x")
    write_run(tmp_path / "b")
    runs = find_runs([tmp_path])
    assert differing(runs) == ["train.batch_size", "model"]
    assert [run.setting("train.batch_size") for run in runs] == ["64", "32"]
    assert [run.setting("model") for run in runs] == ["dcgan", "mlp"]


def test_models_go_down_and_optimisers_across(sweep, tmp_path):
    (matrix,) = Report(find_runs([sweep]), tmp_path).matrices()
    assert matrix.down == ["model=mlp", "model=dcgan"] and matrix.across == ["optim=adam", "optim=sgd"]
    assert [[cell.label for cell in row] for row in matrix.cells] == [
        ["model=mlp, optim=adam", "model=mlp, optim=sgd"],
        ["model=dcgan, optim=adam", "model=dcgan, optim=sgd"],
    ]


def test_a_third_setting_makes_a_matrix_for_each_of_its_values_and_gaps_are_seen(tmp_path):
    for number, said in enumerate(
        (
            ["loss=hinge", "model=mlp", "optim=sgd"],
            ["loss=hinge", "model=dcgan", "optim=adam"],
            ["loss=minimax", "model=mlp", "optim=adam"],
        )
    ):
        write_run(tmp_path / f"{number}", *said)
    first, second = Report(find_runs([tmp_path]), tmp_path).matrices()
    assert (first.title, second.title) == ("loss=hinge", "loss=minimax")
    assert [[cell is None for cell in row] for row in first.cells] == [[False, True], [True, False]]


class Page(html.parser.HTMLParser):
    """Every tag closed in its turn, and every address in it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.texts = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action")]
        if tag not in ("meta", "img", "input", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_whole_and_fetches_nothing(sweep, tmp_path):
    text = Report(find_runs([sweep]), tmp_path).html()
    page = Page(text)
    assert page.addresses and all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "url(" not in text and "import" not in text and "://" not in text
    assert "refused: no <b>luck</b>." in page.texts  # as text, not as a tag
    shown = base64.b64decode(page.addresses[0].partition(",")[2])
    assert shown == (sweep / "0_mlp_adam" / "samples" / "step_0000002.png").read_bytes()
    assert 'class="best" data-value="2.5"' in text  # the least FID: dcgan and adam
    frames = re.search(r"data-steps='(.*?)'", text)[1]
    assert json.loads(frames) == [0, 1, 2]


def test_the_table_in_markdown_and_the_rows_of_the_csv(sweep):
    report = Report(find_runs([sweep]), sweep)
    report.write()
    lines = (sweep / "report.md").read_text().splitlines()
    head, row = ([cell.strip() for cell in lines[number].strip("|").split("|")] for number in (2, 6))
    named = dict(zip(head, row, strict=True))
    assert named["model, optim"] == "dcgan, adam" and named["runs"] == "2"
    assert named["fid"] == "**2.5 ± 0.71**" and named["D loss"] == "0.25 ± 0.071"
    assert "![model=mlp, optim=adam](<0_mlp_adam/samples/step_0000002.png>)" in lines
    rows = list(csv.DictReader((sweep / "runs.csv").open()))
    assert len(rows) == 7 and rows[1]["seed"] == "1" and float(rows[1]["fid"]) == 6.0 and rows[6]["fid"] == ""


def test_scores_that_were_taken_in_different_ways_have_no_best(tmp_path):
    for number, features in enumerate(("mnist-1", "mnist-1", "mnist-2")):
        write_run(
            tmp_path / str(number),
            f"model=m{number}",
            scores={"fid": 1.0 + number, "accuracy": 0.9, "features": features},
        )
    same, all_three = (Report(find_runs(paths), tmp_path) for paths in ([tmp_path / "0", tmp_path / "1"], [tmp_path]))
    assert "**1**" in same.markdown() and "Scores: mnist-1, ? generated" in same.markdown()
    assert "**" not in all_three.markdown().partition("\n\n!")[0].split("Scores")[0]
    assert "taken in different ways" in all_three.html() and "accuracy" not in all_three.columns


def test_one_run_has_the_same_page_in_small(tmp_path):
    write_run(tmp_path / "only", "model=dcgan")
    Report(find_runs([tmp_path / "only"]), tmp_path / "only").write()
    assert "<h1>only</h1>" in (tmp_path / "only" / "report.html").read_text()


def test_images_share_a_budget(tmp_path, monkeypatch):
    for number in range(4):
        write_run(tmp_path / str(number), f"seed={number}", frames=30)
    size = (tmp_path / "0" / "samples" / "step_0000029.png").stat().st_size
    runs = find_runs([tmp_path])
    assert len(Report(runs, tmp_path).frames(runs[0])) == 24
    monkeypatch.setattr("gan.report.page.IMAGE_BYTES", size * 4 * 5)
    assert [step for step, _ in Report(runs, tmp_path).frames(runs[0])] == [0, 7, 14, 22, 29]
    monkeypatch.setattr("gan.report.page.IMAGE_BYTES", 1)
    assert [step for step, _ in Report(runs, tmp_path).frames(runs[0])] == [29]


def test_curves_are_means_within_bands():
    class Fake:
        def __init__(self, *losses):
            self.rows = [{"step": 10 * i, "loss": loss} for i, loss in enumerate(losses)]

    class Both:
        runs = (Fake(1.0, 2.0, None), Fake(3.0, 2.0, 5.0))

    assert curves.points(Both, "loss") == [(0, 2.0, 1.0, 3.0), (10, 2.0, 2.0, 2.0), (20, 5.0, 5.0, 5.0)]
    assert curves.ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1] and curves.ticks(0, 1500) == [0, 500, 1000, 1500]
    assert curves.ticks(-3, 40) == [0, 20, 40]


def test_rows_are_thinned_with_the_first_and_the_last():
    assert thinned(list(range(10)), 4) == [0, 3, 6, 9] and thinned([1, 2], 4) == [1, 2]


@pytest.mark.parametrize("damage", ["status.json", "metrics.jsonl", ".hydra/config.yaml", ".hydra/overrides.yaml"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"{"])
def test_a_damaged_file_does_not_cost_the_page(sweep, tmp_path, damage, content):
    (sweep / "0_mlp_adam" / damage).write_bytes(content)
    report = Report(find_runs([sweep]), tmp_path)
    assert "0_mlp_adam" in report.html() and report.csv().count("\n") == 1 + len(report.runs) > 4


def test_what_holds_no_run_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        find_runs([tmp_path])
    with pytest.raises(ConfigError, match="does not exist"):
        find_runs([tmp_path / "nothing"])


def test_a_report_needs_no_torch(process, sweep):
    done = process("-X", "importtime", "-m", "gan.report", str(sweep))
    assert done.returncode == 0 and (sweep / "report.html").exists()
    assert not re.search(r"\|\s+(torch|matplotlib|numpy)\b", done.stderr)


@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not on this machine")
def test_a_browser_sorts_and_slides(sweep, tmp_path):
    """The page's own script, in a headless Chromium: what it made of the page is dumped."""
    page = tmp_path / "page.html"
    act = """<script>
      document.querySelectorAll("table.sortable th")[9].click();
      document.title = [...document.querySelectorAll("table.sortable tbody tr")].map(row => row.cells[9].textContent).join("; ");
      const input = document.querySelector("input"); input.value = 0; input.dispatchEvent(new Event("input"));
    </script></body>"""
    page.write_text(Report(find_runs([sweep]), tmp_path).html().replace("</body>", act))
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=100, cwd=ROOT,
    )  # fmt: skip
    assert "<title>2.5 ± 0.71; 5 ± 1.4; 10; -</title>" in done.stdout, done.stderr
    assert "<output>step 0</output>" in done.stdout
