"""`python -m gan.report` as a user types it."""

import re
import subprocess
import sys

from gan.report.claim_files import load_claims
from gan.report.setup_page import page_name
from tests.conftest import ROOT
from tests.report.conftest import write_claim_run


def test_a_report_imports_no_torch(process, sweep):
    done = process("-X", "importtime", "-m", "gan.report", str(sweep))
    assert done.returncode == 0 and (sweep / "report.html").exists()
    assert not re.search(r"\|\s+torch\b", done.stderr)


def test_a_path_that_does_not_exist_is_one_line_on_stderr(program, tmp_path):
    for flags in ([], ["--claims"]):
        done = program("gan.report", *flags, str(tmp_path / "nowhere"))
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "nowhere" in done.stderr


def test_watching_ends_where_nothing_runs(program, sweep):
    done = program("gan.report", str(sweep), "--watch", "1")
    assert done.returncode == 0 and done.stdout.count("6 finished, 1 refused") == 2 and (sweep / "report.html").exists()


def test_a_time_that_cannot_be_waited_for_is_one_line_on_stderr(program, sweep):
    for text in ("0", "nan", "x"):
        done = program("gan.report", str(sweep), "--watch", text)
        assert done.returncode and not (sweep / "report.html").exists() and "--watch" in done.stderr


def test_claims_are_printed_or_written_with_a_page_for_each_set_up(program, tmp_path):
    overrides, rows = ("experiment=blog/log_sigmoid", "seed=0"), [(1, 1.0, 2.0, 0.5, 0.5)]
    write_claim_run(tmp_path / "run", *overrides, rows=rows, state="diverged", steps=20_000, error="NaN.")
    done = program("gan.report", "--claims", str(tmp_path))
    assert done.returncode == 0 and "| 0: NaN. |" in done.stdout and not list(tmp_path.glob("*.*"))
    written = program("gan.report", "--claims", str(tmp_path), "--out", str(tmp_path / "out"))
    assert written.returncode == 0 and (tmp_path / "out" / "results.md").read_text() == written.stdout
    results = tmp_path / "out" / "results"
    assert {path.name for path in results.glob("*.md")} == {page_name(experiment) for experiment in load_claims()}
    figures = [path.name for path in results.glob("blog-log_sigmoid*.png")]  # kept runs of others have theirs
    assert figures == ["blog-log_sigmoid_curves.png"]


def test_only_claims_need_no_path(program, process):
    done = process("-X", "importtime", "-m", "gan.report", "--claims")
    assert done.returncode == 0 and "**Of " in done.stdout
    assert not re.search(r"\|\s+(torch|matplotlib|numpy)\b", done.stderr)
    done = program("gan.report")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "PATH" in done.stderr


def test_a_closed_pipe_is_no_error(tmp_path):
    write_claim_run(tmp_path / "run", "experiment=blog/mlp")
    line = [sys.executable, "-m", "gan.report", "--claims", str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        done.stdout.close()
        assert done.stderr.read() == "" and done.wait() == 0
