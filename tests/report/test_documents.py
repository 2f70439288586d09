"""report.md and runs.csv: numbers worked out by hand."""

import csv
import json
import re

from gan.report.contents import Report
from gan.report.documents import csv_table, markdown_report
from gan.report.page import Page
from gan.report.runs import find_runs
from tests.report.conftest import COMPLETE_PROTOCOL, write_run


def markdown_table(text):
    """The rows of the first table, by heading."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_the_table_in_markdown_and_the_rows_of_the_csv(sweep):
    report = Report(find_runs([sweep]), sweep)
    text = markdown_report(report)
    row = markdown_table(text)[2]
    assert row["model, optim"] == "dcgan, adam" and row["runs"] == "2"
    assert row["fid_mnist"] == "**2.50 ± 0.71**" and row["D loss"] == "0.250 ± 0.071"
    assert "\n![model=mlp, optim=adam](<0_mlp_adam/samples/step_0000002.png>)\n" in text
    assert text.endswith("## Problems\n\n* 6_dcgan_sgd: refused: no &lt;b&gt;luck&lt;/b&gt;.\n")
    rows = list(csv.DictReader(csv_table(report).splitlines()))
    assert len(rows) == 7 and rows[1]["seed"] == "1" and float(rows[1]["fid_mnist"]) == 6.0
    assert rows[6]["fid_mnist"] == "" and rows[6]["protocol"] == "" and rows[6]["state"] == "refused"


def test_training_failures_are_problems(tmp_path):
    write_run(tmp_path / "run")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    status["failures"] = [{"step": 550, "what": "mode collapse"}, "damaged"]
    (tmp_path / "run" / "status.json").write_text(json.dumps(status))
    assert "* run: step 550: mode collapse\n" in markdown_report(Report(find_runs([tmp_path]), tmp_path))


def test_a_run_of_an_older_version_is_shown_with_its_own_names(tmp_path):
    scores = COMPLETE_PROTOCOL | {"fid": 3.0, "inception_score": 9.0}
    for number in range(2):
        write_run(
            tmp_path / str(number), f"optim=o{number}", "trick=[ema]", "train.generator_average=0.9", scores=scores
        )
    (first, second) = markdown_table(markdown_report(Report(find_runs([tmp_path]), tmp_path)))
    assert first["fid"] == second["fid"] == "**3**" and first["inception_score"] == "**9**"


def scored_run(folder, fid, coverage, **record):
    scores = COMPLETE_PROTOCOL | {"fid_mnist": fid, "coverage_mnist": coverage, "accuracy": 0.9} | record
    write_run(folder, f"model=m{folder.name}", scores=scores)


def test_one_protocol_is_written_once_below_the_table(tmp_path):
    for number in range(3):
        scored_run(tmp_path / str(number), fid=1.0 + number, coverage=0.1 * number, features="mnist-1")
    report = Report(find_runs([tmp_path]), tmp_path)
    text, page, rows = (
        markdown_report(report),
        Page(report).html(),
        list(csv.DictReader(csv_table(report).splitlines())),
    )
    table = markdown_table(text)
    assert [row["fid_mnist"] for row in table] == ["**1**", "2", "3"]
    assert [row["coverage_mnist"] for row in table] == ["0", "0.100", "**0.200**"]
    assert text.count("mnist-1") == 1 and page.count("mnist-1") == 1 and " [1]" not in text + csv_table(report)
    assert page.count('class="number best"') == 2 and "not comparable" not in page
    assert [float(row["fid_mnist"]) for row in rows] == [1.0, 2.0, 3.0] and len({row["protocol"] for row in rows}) == 1
    assert "accuracy" not in table[0] and "accuracy" not in rows[0]


def test_scores_of_three_protocols_never_share_a_column(tmp_path):
    """Other features, counts or splits are other protocols: the best is that of its own column."""
    records = ({"features": "mnist-1"}, {"features": "mnist-2"}, {"features": "mnist-1", "split": "train"})
    for number, record in enumerate((*records, records[0])):
        scored_run(tmp_path / str(number), fid=1.0 + number, coverage=0.5, **record)
    report = Report(find_runs([tmp_path]), tmp_path)
    text, page, rows = (
        markdown_report(report),
        Page(report).html(),
        list(csv.DictReader(csv_table(report).splitlines())),
    )
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
        assert shown.count("mnist-2") == 1 and shown.count("Scores [") == 3
    assert text.index("| 3 ") < text.index("Scores [1]")
    assert page.count('class="number best"') == 3 and "not comparable" in page  # a FID, and the two equal coverages
    headings = re.findall(r"<button[^>]*>(fid_mnist[^<]*)</button>", page)
    assert headings == [f"fid_mnist [{number}] ↓" for number in (1, 2, 3)]
