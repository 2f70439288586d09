"""`python -m gan.report` as a user types it."""

import re
import subprocess
import sys

from PIL import Image

from tests.conftest import ROOT
from tests.report.conftest import write_claim_run


def test_a_report_imports_no_torch(process, sweep):
    done = process("-X", "importtime", "-m", "gan.report", str(sweep))
    assert done.returncode == 0 and (sweep / "report.html").exists()
    assert not re.search(r"\|\s+(torch|matplotlib|numpy)\b", done.stderr)


def test_a_path_that_does_not_exist_is_one_line_on_stderr(program, tmp_path):
    for flags in ([], ["--claims"]):
        done = program("gan.report", *flags, str(tmp_path / "nowhere"))
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "nowhere" in done.stderr


def test_claims_are_printed_or_written_with_images(program, tmp_path):
    run = write_claim_run(tmp_path / "run", "experiment=blog/log_sigmoid", state="diverged", steps=20_000, error="NaN.")
    done = program("gan.report", "--claims", str(tmp_path))
    assert done.returncode == 0 and "| **held** | run: NaN. |" in done.stdout and not list(tmp_path.glob("*.*"))
    Image.new("RGB", (20, 10), (255, 0, 0)).save(run.folder / "final.png")
    written = program("gan.report", "--claims", str(tmp_path), "--out", str(tmp_path / "out"))
    text = (tmp_path / "out" / "claims.md").read_text()
    assert written.returncode == 0 and "![samples of run](blog-log_sigmoid_samples.png)\n" in text
    assert "losses of" not in text
    with Image.open(tmp_path / "out" / "blog-log_sigmoid_samples.png") as image:
        assert image.size == (20, 10) and image.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_a_closed_pipe_is_no_error(tmp_path):
    write_claim_run(tmp_path / "run", "experiment=blog/mlp")
    line = [sys.executable, "-m", "gan.report", "--claims", str(tmp_path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        done.stdout.close()
        assert done.stderr.read() == "" and done.wait() == 0
