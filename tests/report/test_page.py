"""The page: complete, safe, and nothing to fetch. How it looks and acts is tested in a browser."""

import html.parser
import json
import re

import pytest

from gan.report.contents import Report
from gan.report.documents import csv_table
from gan.report.page import Page, format_duration
from gan.report.runs import find_runs
from tests.report.conftest import COMPLETE_PROTOCOL, write_run

VOID = ("meta", "img", "input", "br")


class PageParser(html.parser.HTMLParser):
    """Checks that every tag is closed in order, and collects addresses, ids and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.ids, self.texts = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action")]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def page_of(folder, out=None):
    return Page(Report(find_runs([folder]), out or folder)).html()


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_is_complete_and_fetches_nothing(sweep, tmp_path):
    text = page_of(sweep, tmp_path)
    page = PageParser(text)
    sources = [address for address in page.addresses if not address.startswith("#")]
    assert sources and all(address.startswith("data:image/webp;base64,") for address in sources)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert "default-src 'none'" in text
    assert any("refused: no <b>luck</b>." in part for part in page.texts)  # as text, not as a tag


def test_the_scripts_get_groups_runs_and_frames(sweep, tmp_path):
    data = data_of(page_of(sweep, tmp_path))
    assert [group["name"] for group in data["groups"]] == ["mlp adam", "mlp sgd", "dcgan adam", "dcgan sgd"]
    assert [group["runs"] for group in data["groups"]] == [[0, 1], [2, 3], [4, 5], [6]]
    assert [[step for step, _ in run["frames"]] for run in data["runs"]] == [[0, 1, 2]] * 6 + [[]]
    assert data["groups"][2]["score"] == 2.5 and data["metric"] == "fid_mnist" and data["better"] == "lower"
    assert data["everySeconds"] is None


def test_the_best_group_is_marked(sweep, tmp_path):
    text = page_of(sweep, tmp_path)
    assert re.findall(r'class="number best" data-value="([\d.]+)"', text) == ["2.5"] and "Best: dcgan adam" in text


def test_a_page_of_one_run_has_its_settings_log_and_commands(tmp_path):
    write_run(tmp_path / "only", "model=dcgan", "train.batch_size=64", state="stopped")
    (tmp_path / "only" / "train.log").write_text("first <line>\n")
    text = page_of(tmp_path / "only")
    assert "<h1>only</h1>" in text and "first &lt;line&gt;" in text and "resume=" in text
    changed = re.search(r"<h4>Differs from the defaults.*?</table>", text, re.S)[0]
    assert re.search(r"train\.batch_size</th><td>32</td><td>64<", changed)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"name": "pets", "images": 1500, "shape": [3, 8, 8], "class_names": ["cat", "<b>"]}, "pets: 1,500 images of 8x8x3, 2 classes: cat, &lt;b&gt;"),
        ({"name": "pets", "images": 1500, "shape": [3, 8, 8]}, "pets: 1,500 images of 8x8x3<"),
        ({"images": [1], "shape": 5, "class_names": 7}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_page_says_what_a_run_was_trained_on(tmp_path, data, said):
    text = page_of_status(tmp_path, {"data": data})
    assert said in text if said else " images of 8x8" not in text


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (
            {"dirac/path": "circles", "dirac/eigenvalues": [[1, 0]], "x": "<b>"},
            "Found: dirac/path circles, x &lt;b&gt;<",
        ),
        ({"dirac/eigenvalues": [[1, 0]]}, None),
        ([], None),
    ],
)
def test_a_page_says_in_words_what_a_run_found(tmp_path, findings, said):
    text = page_of_status(tmp_path, {"findings": findings})
    assert said in text if said else "Found:" not in text


def page_of_status(folder, changes):
    """The page about one run whose status.json has these values."""
    write_run(folder / "0")
    path = folder / "0" / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return page_of(folder)


def test_a_run_that_finished_after_a_failure_is_marked_in_the_table_and_at_its_images(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, f"model=m{name}")
    path = tmp_path / "a" / "status.json"
    failures = {"failures": [{"step": 5, "what": "mode collapse"}]}
    path.write_text(json.dumps(json.loads(path.read_text()) | failures))
    text = page_of(tmp_path)
    assert text.count('<span class="problem">failures</span>') == 1
    assert text.count('<span class="problem">step 5: mode collapse</span>') == 1


def test_two_groups_are_compared(tmp_path):
    for name, loss in (("a", 0.5), ("b", 0.2)):
        write_run(tmp_path / name, f"model=m{name}", losses=(loss,))
    comparison = re.search(r'<section id="compare">.*?</section>', page_of(tmp_path), re.S)[0]
    assert "<td>ma</td><td>mb</td>" in comparison and re.search(
        r"D loss</th>.*?0\.500.*?0\.200.*?-0\.300", comparison, re.S
    )
    assert "images/s" not in comparison  # the same in both


def test_the_baseline_of_real_images_is_a_row(tmp_path):
    for number in range(2):
        write_run(tmp_path / str(number), f"model=m{number}", scores=COMPLETE_PROTOCOL | {"fid_mnist": 3.0 + number})
    status = json.loads((tmp_path / "0" / "status.json").read_text()) | {"real_data": {"fid_mnist": 0.25}}
    (tmp_path / "0" / "status.json").write_text(json.dumps(status))
    text = page_of(tmp_path)
    assert re.search(r"<tfoot>.*real data.*0\.250", text, re.S) and "real data have 0.250" in text


def test_only_some_columns_are_shown_at_first(tmp_path):
    for number in range(2):
        scores = COMPLETE_PROTOCOL | {"fid_mnist": 1.0, "kid_mnist": 1.0, "precision_mnist": 1.0, "recall_mnist": 1.0}
        write_run(tmp_path / str(number), *(f"x.s{n}={number}" for n in range(6)), scores=scores)
    page = Page(Report(find_runs([tmp_path]), tmp_path))
    hidden = {getattr(column, "name", column) for column in page.hidden_columns()}
    assert hidden == {*(f"x.s{number}" for number in range(6)), "recall_mnist", "D loss", "G loss"}


@pytest.mark.parametrize("damage", ["status.json", "metrics.jsonl", ".hydra/config.yaml", ".hydra/overrides.yaml"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"{"])
def test_a_damaged_file_does_not_cost_the_page(sweep, tmp_path, damage, content):
    (sweep / "0_mlp_adam" / damage).write_bytes(content)
    report = Report(find_runs([sweep]), tmp_path)
    assert "0_mlp_adam" in Page(report).html() and csv_table(report).count("\n") == 1 + len(report.runs) > 4


def test_durations_have_a_unit_that_fits():
    assert [format_duration(seconds) for seconds in (3, 119, 600, 9000)] == ["3 s", "119 s", "10 min", "2.5 h"]
