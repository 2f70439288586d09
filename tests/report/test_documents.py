"""report.md and runs.csv: numbers worked out by hand."""

import csv
import json
import re

from gan.report.contents import Report
from gan.report.documents import csv_table, markdown_report
from gan.report.page import Page
from gan.report.runs import find_runs
from tests.report.conftest import COMPLETE_PROTOCOL, write_run


def markdown_tables(text):
    """The lines of each table."""
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block and all(line.startswith("| ") for line in block)]


def markdown_table(text):
    """The rows of the tables together, by heading, which has no arrow here."""
    rows = {}
    for head, _, *lines in markdown_tables(text):
        names = [cell.strip().rstrip(" ↓↑") for cell in head.strip("|").split("|")]
        for number, line in enumerate(lines):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
            rows.setdefault(number, {}).update(zip(names, cells, strict=True))
    return list(rows.values())


def test_the_table_in_markdown_and_the_rows_of_the_csv(sweep):
    report = Report(find_runs([sweep]), sweep)
    text = markdown_report(report)
    row = markdown_table(text)[2]
    assert (row["model"], row["optim"], row["runs"], row["state"]) == ("dcgan", "adam", "2", "finished")
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


def forms_of(folder):
    """The report about the runs in a folder as Markdown, as a page, and as rows of the CSV."""
    report = Report(find_runs([folder]), folder)
    return markdown_report(report), Page(report).html(), list(csv.DictReader(csv_table(report).splitlines()))


def test_one_protocol_is_written_once_below_the_table(tmp_path):
    for number in range(3):
        scored_run(tmp_path / str(number), fid=1.0 + number, coverage=0.1 * number, features="mnist-1")
    text, page, rows = forms_of(tmp_path)
    table = markdown_table(text)
    assert [row["fid_mnist"] for row in table] == ["**1**", "2", "3"]
    assert [row["coverage_mnist"] for row in table] == ["0", "0.100", "**0.200**"]
    assert text.count("mnist-1") == 1 and page.count("mnist-1") == 1 and " [1]" not in text + str(rows)
    assert page.count('class="number best"') == 2 and "not comparable" not in page
    assert [float(row["fid_mnist"]) for row in rows] == [1.0, 2.0, 3.0] and len({row["protocol"] for row in rows}) == 1
    assert "accuracy" not in table[0] and "accuracy" not in rows[0]


def test_scores_of_three_protocols_never_share_a_column(tmp_path):
    """Other features, counts or splits are other protocols: the best is that of its own column."""
    records = ({"features": "mnist-1"}, {"features": "mnist-2"}, {"features": "mnist-1", "split": "train"})
    for number, record in enumerate((*records, records[0])):
        scored_run(tmp_path / str(number), fid=1.0 + number, coverage=0.5, **record)
    text, page, rows = forms_of(tmp_path)
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
    assert page.count('class="number best"') == 3 and "not comparable" in page  # a FID, and the two equal coverages
    headings = re.findall(r"<button[^>]*>(fid_mnist[^<]*)</button>", page)
    assert headings == [f"fid_mnist [{number}] ↓" for number in (1, 2, 3)]


def with_baseline(folder, **numbers):
    """Add the scores of real images to a run's status.json."""
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"real_data": numbers}))


def test_the_columns_of_a_table_are_aligned_and_short_and_say_which_direction_is_better(tmp_path):
    for number in range(3):
        scored_run(tmp_path / str(number), fid=10.0**number / 7, coverage=0.123456)
    with_baseline(tmp_path / "1", fid_mnist=0.0123456, coverage_mnist=0.98765)
    text = markdown_report(Report(find_runs([tmp_path]), tmp_path))
    for lines in markdown_tables(text):
        places = [[match.start() for match in re.finditer(r"\|", line)] for line in lines]
        assert len(set(map(tuple, places))) == 1 and len(lines[0]) < 140
    assert "fid_mnist ↓" in text and "coverage_mnist ↑" in text and "D loss " in text
    *_, last = markdown_table(text)
    assert last["model"] == "real data" and (last["fid_mnist"], last["coverage_mnist"]) == ("0.0123", "0.988")
    assert (last["state"], last["steps"]) == ("", "-")


def test_many_settings_are_a_name_and_many_scores_are_left_to_the_csv(tmp_path):
    for number in range(2):
        overrides = [f"train.{name}={number + 1}" for name in ("batch_size", "a", "b", "c", "d")]
        scores = {"fid_mnist": 1.0, "kid_mnist": 2.0, "precision_mnist": 3.0, "recall_mnist": 4.0, "density_mnist": 5.0}
        write_run(tmp_path / str(number), *overrides, scores=COMPLETE_PROTOCOL | scores | {"coverage_mnist": 0.5})
    report = Report(find_runs([tmp_path]), tmp_path)
    first, _ = markdown_table(markdown_report(report))
    assert first["run"] == report.groups[0].name and first["density_mnist"] == "5" and "coverage_mnist" not in first
    assert "runs.csv" in markdown_report(report) and "coverage_mnist" in csv_table(report).splitlines()[0]


def test_settings_are_sorted_as_numbers(tmp_path):
    for number in (10, 9, 100):
        write_run(tmp_path / str(number), f"train.batch_size={number}")
    table = markdown_table(markdown_report(Report(find_runs([tmp_path]), tmp_path)))
    assert [row["train.batch_size"] for row in table] == ["9", "10", "100"]


def test_a_setting_with_many_digits_is_short_in_the_text_and_whole_in_the_csv(tmp_path):
    for number, rate in enumerate(("1.1485172688183712e-05", "0.5")):
        write_run(tmp_path / str(number), f"train.rate={rate}")
    report = Report(find_runs([tmp_path]), tmp_path)
    assert {row["train.rate"] for row in markdown_table(markdown_report(report))} == {"1.149e-05", "0.5"}
    assert "1.1485172688183712e-05" in csv_table(report)


def test_the_columns_of_the_csv_have_one_order_and_all_digits(tmp_path):
    """Whatever the order in which settings were typed and scores were taken."""
    scores = {"coverage_mnist": 0.1, "fid_mnist": 1 / 3, "foreign": 7.0}
    write_run(tmp_path / "0", "optim=sgd", "model=mlp", "seed=1", scores=COMPLETE_PROTOCOL | scores)
    error = "no luck."
    write_run(tmp_path / "1", "seed=2", "model=dcgan", "optim=adam", losses=(), state="failed", error=error)
    text = csv_table(Report(find_runs([tmp_path]), tmp_path))
    logged = ["D loss", "G loss"]
    expected = ["run", "state", "error", "model", "optim", "seed", "steps", "seconds", "images/s", *logged]
    assert text.splitlines()[0].split(",") == [*expected, "fid_mnist", "coverage_mnist", "foreign", "protocol"]
    first, second = csv.DictReader(text.splitlines())
    assert float(first["fid_mnist"]) == 1 / 3 and (second["state"], second["error"]) == ("failed", error)
