"""Run folders from a stranger in a report: huge, broken and linked files, and text that is more than text."""

import csv
import html.parser
import io
import json
import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from gan import sampling
from gan.metrics.catalogue import PROTOCOL
from gan.report import figures
from gan.report.claim_page import claims_page
from gan.report.contents import Report
from gan.report.documents import csv_table, markdown_report
from gan.report.page import Page
from gan.report.runs import find_runs
from gan.report.sheet import report_sheet
from gan.report.writer import write_report
from gan.system import status
from tests.report.conftest import write_claim_run, write_run
from tests.report.test_page import PageParser
from tests.test_security import move_out

# Files


@pytest.mark.parametrize("name", ["status.json", "metrics.jsonl", "scores.json", "scores.jsonl", ".hydra/config.yaml", ".hydra/overrides.yaml"])  # fmt: skip
@pytest.mark.parametrize("kind", ["gigabytes", "depth", "pipe", "folder", "device", "digits"])
def test_a_report_reads_the_files_of_a_run_within_bounds(sweep, tmp_path, name, kind):
    path = sweep / "0_mlp_adam" / name
    path.unlink(missing_ok=True)
    if kind == "gigabytes":
        with path.open("wb") as file:
            file.truncate(2**33)
    elif kind == "depth":
        path.write_text("[" * 100_000)
    elif kind == "digits":
        path.write_text(
            f'{{"step": {"9" * 4000}, "epoch": {"9" * 4000}, "seconds": 1e999, "discriminator/loss": 1e999}}\n'
        )
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif os.getuid() == 0:
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero
    else:
        path.symlink_to("/dev/zero")
    report = Report(find_runs([sweep]), tmp_path)
    assert "0_mlp_adam" in Page(report).html() and "1_mlp_adam" in csv_table(report)
    if name in ("status.json", "metrics.jsonl") and kind not in ("digits", "depth"):
        assert any(run.name == "0_mlp_adam" and name in sentence for run, sentence in report.problems())
    assert "".join(claims_page(report.runs))


@pytest.mark.parametrize(
    "name", ["step_0000001 (1).png", "step_x.png", "step_1.png", "step_0000009.png.tmp", "step_.png"]
)
def test_a_foreign_file_among_the_samples_is_left_alone(tmp_path, name):
    run = tmp_path / "run"
    write_run(run)
    (run / "samples" / name).write_bytes(b"x")
    report = Report(find_runs([run]), tmp_path)
    assert (
        Page(report).html().count("<img") == 2
        and name not in Page(report).html() + markdown_report(report)
        and not report.problems()
    )
    sampling.write_samples_gif(run, 4)
    assert (run / "samples.gif").exists() and (run / "samples" / name).read_bytes() == b"x"


def test_a_broken_grid_costs_its_own_cell_and_is_named(sweep, tmp_path):
    (sweep / "0_mlp_adam" / "samples" / "step_0000002.png").write_bytes(b"x")
    report = Report(find_runs([sweep]), tmp_path)
    text = Page(report).html()
    assert text.count('alt="Generated images of mlp') == 2 and text.count(">no image<") == 1
    assert any(run.name == "0_mlp_adam" and "step_0000002.png" in sentence for run, sentence in report.problems())
    again = Page(Report(find_runs([sweep]), tmp_path)).html()
    text, again = (re.sub(r"<time.*?</time>", "", page) for page in (text, again))
    assert text == again  # without a memory address


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, True, None, "x", float("nan"), float("inf"), 10**4000, -(10**4000), 1e308, -1]
)
def test_any_value_in_a_status_or_a_row_costs_its_own_cell(sweep, tmp_path, value):
    folder = sweep / "0_mlp_adam"
    stored = json.loads((folder / "status.json").read_text())
    for name in [*status.INITIAL, "machine", "error"]:
        (folder / "status.json").write_text(json.dumps(stored | {name: value}))
        row = {"step": 3, "epoch": 1, "discriminator/loss": 1.0}
        rows = [row | {key: value} for key in row] + [{"step": value, "epoch": value, "generator/loss": value}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        scores = dict.fromkeys((*PROTOCOL, "fid_x", "step"), value)
        (folder / "scores.jsonl").write_text(json.dumps(scores | {"step": 20}) + "\n")
        (folder / "scores.json").write_text(
            json.dumps([{"checkpoint": "last", "ema": True, "scores": {"a": {}, "b": value}}])
        )
        (folder / ".hydra" / "hydra.yaml").write_text(json.dumps({"hydra": {"runtime": {"choices": [1]}}}))
        runs = find_runs([sweep])
        report = Report(runs, tmp_path)
        assert (
            "1_mlp_adam" in Page(report).html()
            and markdown_report(report)
            and csv_table(report)
            and "".join(claims_page(runs))
        )


@pytest.mark.parametrize("value", [[1], {"a": 1}, None, "x", float("nan"), 10**4000, 1e308, -1])
def test_any_value_is_drawn_in_figures_and_in_the_sheet_or_left_out(sweep, tmp_path, monkeypatch, value):
    drawn = []
    monkeypatch.setattr(figures, "write_figure", lambda panels, *_: drawn.append(panels))
    folder = sweep / "0_mlp_adam"
    stored = json.loads((folder / "status.json").read_text())
    scores = dict.fromkeys((*PROTOCOL, "fid_x"), value)
    for change in (*({name: value} for name in status.INITIAL), {"scores": scores, "real_data": scores}):
        (folder / "status.json").write_text(json.dumps(stored | change))
        row = {"step": 3, "epoch": 1, "discriminator/loss": value, "generator/loss": 1.0}
        (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        (folder / "scores.jsonl").write_text(json.dumps(scores | {"step": 20}) + "\n")
        report = Report(find_runs([sweep]), tmp_path)
        assert report_sheet(report) and figures.write_figures(report.groups, tmp_path) and drawn
    assert any(len(panel.curves) >= 3 for panels in drawn for panel in panels)


# Links

PRIVATE = [
    *("samples", "samples/step_0000002.png", "status.json", "metrics.jsonl", ".hydra/overrides.yaml"),
    *(".hydra/config.yaml", ".hydra/hydra.yaml", "final.png", "scores.json", "scores.jsonl"),
]


@pytest.fixture
def opened():
    """The paths of the files that this process opens from now on."""
    paths, watching = [], True

    def note(event, arguments):
        if watching and event == "open" and isinstance(arguments[0], (str, Path)):
            paths.append(Path(os.path.realpath(arguments[0])))

    sys.addaudithook(note)
    yield paths
    watching = False


@pytest.mark.parametrize("name", PRIVATE)
def test_a_report_shows_nothing_that_a_link_leads_to(sweep, tmp_path, name, opened):
    """Every file outside is watched: none is opened."""
    claim = write_claim_run(sweep / "claim", "experiment=blog/mlp", rows=[(200, 1, 1, 0.5, 0.5)], steps=2000)
    run = claim.folder if name in PRIVATE[-3:] else sweep / "0_mlp_adam"
    outside = move_out(run, name)
    opened.clear()
    report = Report(find_runs([run, sweep / "1_mlp_adam"]), tmp_path)
    text = (
        Page(report).html()
        + markdown_report(report)
        + csv_table(report)
        + "".join(claims_page(report.runs, tmp_path / "out"))
    )
    assert report_sheet(report) and figures.write_figures(report.groups, tmp_path / "out")
    assert not any(run.evaluations for run in report.runs)  # which not every claim reads
    assert "1_mlp_adam" in text and sweep / "1_mlp_adam" / "status.json" in opened
    assert not [path for path in opened if path.is_relative_to(outside)]
    assert f"{run.name}/{name}" not in text
    if name in PRIVATE[:5]:
        assert any(name in sentence and "link" in sentence for _, sentence in report.problems())


def test_a_report_replaces_links_and_does_not_write_through_them(sweep, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("report.html", "report.md", "runs.csv", "sheet.png"):
        (tmp_path / name).write_text("mine")
        (tmp_path / "out" / name).symlink_to(tmp_path / name)
    write_report(find_runs([sweep]), tmp_path / "out")
    assert all(
        (tmp_path / name).read_text() == "mine" for name in ("report.html", "report.md", "runs.csv", "sheet.png")
    )
    assert all(not path.is_symlink() for path in (tmp_path / "out").iterdir())


# Text

NASTY = "=cmd|'/C calc'!A0 <script>alert(1)</script> | [x](http://evil) ![y](//evil) `c` \x1b[2J\r\n\u202e\udcfc\"'"


@pytest.fixture
def nasty(tmp_path):
    """Two runs, one of which has NASTY in every text that a report shows."""
    folder = tmp_path / "runs"
    name = "=1+1 <b>|[x](y)`\x1b]0;t\x07" + os.fsdecode(b"\xfc")
    run = folder / name
    write_run(run, "seed=1", error=NASTY, scores={NASTY: 1.0, "dataset": NASTY, "features": NASTY})
    overrides_ = ["seed=1", f"loss={NASTY}", f"{NASTY}=1", "noise.x=-1", "noise.y=@x;=2"]
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides_))
    stored = json.loads((run / "status.json").read_text())
    stored |= {
        "machine": NASTY,
        "state": NASTY,
        "failures": [{"step": NASTY, "what": NASTY}],
        "findings": {NASTY: NASTY},
    }
    (run / "status.json").write_text(json.dumps(stored))
    write_run(folder / "plain", "seed=1")
    return folder


def test_no_cell_of_a_csv_is_a_formula(nasty, tmp_path):
    text = csv_table(Report(find_runs([nasty]), tmp_path))
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert any("cmd" in cell for cell in cells) and "-1" in cells and "1.0" in cells
    formulas = [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell not in ("-", "-1", "")]
    assert not formulas and ";=" not in text
    assert all(line.isprintable() for line in text.splitlines())


class Rendered(html.parser.HTMLParser):
    """The tags of a page, and the addresses in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name not in ("alt", "title", "class")]


def render_as_python(text):
    return pytest.importorskip("markdown").markdown(text, extensions=["tables", "fenced_code"])


def render_as_commonmark(text):
    return pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table").render(text)


@pytest.mark.parametrize("render", [render_as_python, render_as_commonmark])
def test_text_has_no_effect_in_markdown(nasty, tmp_path, render):
    overrides, diverged = ("experiment=blog/log_sigmoid", f"seed={NASTY}"), {"state": "diverged", "steps": 20_000}
    claim = write_claim_run(nasty / "cl`a|im", *overrides, error=NASTY, machine=NASTY, **diverged)
    write_claim_run(nasty / "sh`o|rt", "experiment=blog/mlp", f"loss={NASTY}", error=NASTY)
    (claim.folder / "figures").mkdir()
    Image.new("L", (4, 4)).save(claim.folder / "figures" / "losses.png")
    runs = find_runs([nasty])
    texts = [markdown_report(Report(runs, tmp_path)), "\n".join(claims_page(runs, tmp_path / "out"))]
    for text in texts:
        assert "cmd" in text and all(line.isprintable() for line in text.splitlines())
        page = Rendered(render(text))
        assert "table" in page.tags and not page.tags & {"script", "b"}
        assert not any("evil" in address for address in page.addresses)
    report, claims = (Rendered(render(text)) for text in texts)
    assert "img" in report.tags and "a" not in report.tags
    ours = {"../gan/", "results/", "metrics.md"}  # the links of the page itself
    assert all(any(address.startswith(start) for start in ours) for address in claims.addresses)
    assert "results/blog-log_sigmoid.md" in claims.addresses


def test_text_has_no_effect_in_html(nasty, tmp_path):
    text = Page(Report(find_runs([nasty]), tmp_path)).html()
    page = PageParser(text)
    assert text.count("<script") == 2 and "alert(1)" in text and all(line.isprintable() for line in text.splitlines())
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in page.addresses) and page.addresses
    assert "Content-Security-Policy" in text


def test_a_report_about_any_name_is_written(nasty, program, tmp_path):
    done = program("gan.report", str(nasty), "--out", str(tmp_path / "out"))
    assert done.returncode == 0 and len(list((tmp_path / "out").iterdir())) == 5, done
    done = program("gan.report", str(nasty / "no\x1b[31m"))
    assert done.returncode == 1 and "\x1b" not in done.stderr and "\\x1b[31m" in done.stderr
