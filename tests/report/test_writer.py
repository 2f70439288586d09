"""Writing a report, once and as long as runs go on."""

import json
import re

from filelock import FileLock

from gan.report import writer
from gan.report.runs import find_runs
from tests.report.conftest import write_run


def test_a_report_is_a_page_a_text_a_table_a_sheet_and_figures(sweep, tmp_path):
    paths = writer.write_report(find_runs([sweep]), tmp_path / "out")
    assert {path.name for path in paths} >= {"report.html", "report.md", "runs.csv", "sheet.png", "losses.pdf"}
    assert all(path.stat().st_size for path in paths)


def set_state(folder, state):
    path = folder / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": state}))


def test_a_report_is_written_again_until_nothing_has_run_for_a_while(tmp_path, monkeypatch):
    """The first run ends, the second one of the sweep starts a while later, and is found."""
    write_run(tmp_path / "0", "seed=0", state="running")
    happenings = [
        lambda: None,
        lambda: set_state(tmp_path / "0", "finished"),
        lambda: write_run(tmp_path / "1", "seed=1", state="running"),
        lambda: set_state(tmp_path / "1", "diverged"),
        lambda: None,
    ]
    pages = []

    def sleep(seconds):
        assert seconds == 5
        pages.append((tmp_path / "report.html").read_text())
        happenings.pop(0)()

    monkeypatch.setattr(writer.time, "sleep", sleep)
    with FileLock(tmp_path / "0" / ".lock"):
        writer.watch_report([tmp_path], tmp_path, 5)
    pages.append((tmp_path / "report.html").read_text())
    intervals = [re.search(r'"everySeconds": (\w+)', page)[1] for page in pages]
    assert not happenings and intervals == ["5"] * 5 + ["null"] and "diverged" in pages[-1]
