"""The report: numbers worked out by hand, images in their places, and nothing to fetch."""

import base64
import csv
import html.parser
import io
import json
import re
import shutil
import subprocess

import pytest

from gan.report.page import Report
from gan.report.runs import find_runs
from tests.conftest import ROOT
from tests.report.conftest import COMPLETE_PROTOCOL, write_run


def test_models_are_rows_and_optimizers_columns(sweep, tmp_path):
    (matrix,) = Report(find_runs([sweep]), tmp_path).matrices()
    assert matrix.row_labels == ["model=mlp", "model=dcgan"] and matrix.column_labels == ["optim=adam", "optim=sgd"]
    assert [[cell.label for cell in row] for row in matrix.cells] == [
        ["model=mlp, optim=adam", "model=mlp, optim=sgd"],
        ["model=dcgan, optim=adam", "model=dcgan, optim=sgd"],
    ]


def test_a_third_setting_makes_a_matrix_for_each_of_its_values_with_gaps(tmp_path):
    for number, overrides in enumerate(
        (
            ["loss=hinge", "model=mlp", "optim=sgd"],
            ["loss=hinge", "model=dcgan", "optim=adam"],
            ["loss=minimax", "model=mlp", "optim=adam"],
        )
    ):
        write_run(tmp_path / f"{number}", *overrides)
    report = Report(find_runs([tmp_path]), tmp_path)
    first, second = report.matrices()
    assert (first.title, second.title) == ("loss=hinge", "loss=minimax")
    assert [[cell is None for cell in row] for row in first.cells] == [[False, True], [True, False]]
    assert report.html().count("not run") == 2


class Page(html.parser.HTMLParser):
    """Checks that every tag is closed in order, and collects addresses and texts."""

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


def test_the_page_is_complete_and_fetches_nothing(sweep, tmp_path):
    text = Report(find_runs([sweep]), tmp_path).html()
    page = Page(text)
    assert page.addresses and all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "url(" not in text and "import" not in text and "://" not in text
    assert "refused: no <b>luck</b>." in page.texts  # as text, not as a tag
    shown = base64.b64decode(page.addresses[0].partition(",")[2])
    assert shown == (sweep / "0_mlp_adam" / "samples" / "step_0000002.png").read_bytes()
    assert 'class="best" data-value="2.5"' in text  # the lowest FID: dcgan with adam
    frames = re.search(r"data-steps='(.*?)'", text)[1]
    assert json.loads(frames) == [0, 1, 2]


def markdown_table(text):
    """The rows of the first table, by heading."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_the_table_in_markdown_and_the_rows_of_the_csv(sweep):
    report = Report(find_runs([sweep]), sweep)
    report.write()
    text = (sweep / "report.md").read_text()
    row = markdown_table(text)[2]
    assert row["model, optim"] == "dcgan, adam" and row["runs"] == "2"
    assert row["fid_mnist"] == "**2.5 ± 0.71**" and row["D loss"] == "0.25 ± 0.071"
    assert "\n![model=mlp, optim=adam](<0_mlp_adam/samples/step_0000002.png>)\n" in text
    assert text.endswith("## Problems\n\n* 6_dcgan_sgd: refused: no &lt;b&gt;luck&lt;/b&gt;.\n")
    rows = list(csv.DictReader((sweep / "runs.csv").open()))
    assert len(rows) == 7 and rows[1]["seed"] == "1" and float(rows[1]["fid_mnist"]) == 6.0
    assert rows[6]["fid_mnist"] == "" and rows[6]["protocol"] == "" and rows[6]["state"] == "refused"


def scored_run(folder, fid, coverage, **record):
    scores = COMPLETE_PROTOCOL | {"fid_mnist": fid, "coverage_mnist": coverage, "accuracy": 0.9} | record
    write_run(folder, f"model=m{folder.name}", scores=scores)


def test_one_protocol_is_written_once_below_the_table(tmp_path):
    for number in range(3):
        scored_run(tmp_path / str(number), fid=1.0 + number, coverage=0.1 * number, features="mnist-1")
    report = Report(find_runs([tmp_path]), tmp_path)
    text, page, rows = report.markdown(), report.html(), list(csv.DictReader(io.StringIO(report.csv())))
    table = markdown_table(text)
    assert [row["fid_mnist"] for row in table] == ["**1**", "2", "3"]
    assert [row["coverage_mnist"] for row in table] == ["0", "0.1", "**0.2**"]
    assert text.count("mnist-1") == 1 and page.count("mnist-1") == 1 and "[1]" not in text + page + report.csv()
    assert page.count('class="best"') == 2 and "not comparable" not in page
    assert [float(row["fid_mnist"]) for row in rows] == [1.0, 2.0, 3.0] and len({row["protocol"] for row in rows}) == 1
    assert "accuracy" not in table[0] and "accuracy" not in rows[0]


def test_scores_of_three_protocols_never_share_a_column(tmp_path):
    """Other features, counts or splits are other protocols: the best is that of its own column."""
    records = ({"features": "mnist-1"}, {"features": "mnist-2"}, {"features": "mnist-1", "split": "train"})
    for number, record in enumerate((*records, records[0])):
        scored_run(tmp_path / str(number), fid=1.0 + number, coverage=0.5, **record)
    report = Report(find_runs([tmp_path]), tmp_path)
    text, page, rows = report.markdown(), report.html(), list(csv.DictReader(io.StringIO(report.csv())))
    table = markdown_table(text)
    columns = ["fid_mnist [1]", "fid_mnist [2]", "fid_mnist [3]"]
    assert [[row[column] for column in columns] for row in table] == [
        ["**1**", "-", "-"], ["-", "2", "-"], ["-", "-", "3"], ["4", "-", "-"],
    ]  # fmt: skip
    assert [[row[column] for column in columns] for row in rows] == [
        ["1.0", "", ""], ["", "2.0", ""], ["", "", "3.0"], ["4.0", "", ""],
    ]  # fmt: skip
    assert [row["protocol"][:3] for row in rows] == ["[1]", "[2]", "[3]", "[1]"] and "mnist-2" in rows[1]["protocol"]
    for shown in (text, page):
        assert "fid_mnist<" not in shown and shown.count("mnist-2") == 1 and shown.count("Scores [") == 3
    assert text.index("| 3 ") < text.index("Scores [1]")
    assert page.count('class="best"') == 3 and "not comparable" in page  # a FID, and the two equal coverages
    headings = re.findall(r'<th scope="col">([\w ]+\[\d\])', page)
    assert headings == [f"{name} [{number}]" for number in (1, 2, 3) for name in ("fid_mnist", "coverage_mnist")]


def test_one_run_has_the_same_page(tmp_path):
    write_run(tmp_path / "only", "model=dcgan")
    Report(find_runs([tmp_path / "only"]), tmp_path / "only").write()
    assert "<h1>only</h1>" in (tmp_path / "only" / "report.html").read_text()


def test_images_share_a_budget(tmp_path, monkeypatch):
    for number in range(4):
        write_run(tmp_path / str(number), f"seed={number}", frames=30)
    size = (tmp_path / "0" / "samples" / "step_0000029.png").stat().st_size
    runs = find_runs([tmp_path])
    assert len(Report(runs, tmp_path).frames[runs[0].folder]) == 24
    monkeypatch.setattr("gan.report.page.IMAGE_BYTES", size * 4 * 5)
    assert [frame.step for frame in Report(runs, tmp_path).frames[runs[0].folder]] == [0, 7, 14, 22, 29]
    monkeypatch.setattr("gan.report.page.IMAGE_BYTES", 1)
    assert [frame.step for frame in Report(runs, tmp_path).frames[runs[0].folder]] == [29]


def test_training_failures_are_problems(tmp_path):
    write_run(tmp_path / "run")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    status["failures"] = [{"step": 550, "what": "mode collapse"}, "damaged"]
    (tmp_path / "run" / "status.json").write_text(json.dumps(status))
    assert "* run: step 550: mode collapse\n" in Report(find_runs([tmp_path]), tmp_path).markdown()


def test_a_run_of_an_older_version_is_shown_with_its_own_names(tmp_path):
    scores = COMPLETE_PROTOCOL | {"fid": 3.0, "inception_score": 9.0}
    for number in range(2):
        write_run(
            tmp_path / str(number), f"optim=o{number}", "trick=[ema]", "train.generator_average=0.9", scores=scores
        )
    (first, second) = markdown_table(Report(find_runs([tmp_path]), tmp_path).markdown())
    assert first["fid"] == second["fid"] == "**3**" and first["inception_score"] == "**9**"


@pytest.mark.parametrize("damage", ["status.json", "metrics.jsonl", ".hydra/config.yaml", ".hydra/overrides.yaml"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"{"])
def test_a_damaged_file_does_not_cost_the_page(sweep, tmp_path, damage, content):
    (sweep / "0_mlp_adam" / damage).write_bytes(content)
    report = Report(find_runs([sweep]), tmp_path)
    assert "0_mlp_adam" in report.html() and report.csv().count("\n") == 1 + len(report.runs) > 4


@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is not on this machine")
def test_a_browser_sorts_the_table_and_moves_the_slider(sweep, tmp_path):
    """Runs the page's own script in a headless Chromium, which prints the resulting document."""
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
