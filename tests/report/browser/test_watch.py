"""A page that is written again while runs go on reads itself again, and keeps what the reader chose."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.report.browser.conftest import OpenPage, listen
from tests.report.made_up_numbers import Fate
from tests.report.made_up_run import MadeUpRun

pytestmark = pytest.mark.slow
OVERRIDES = ["train.max_steps=1000", "watch.samples_every=100"]


@pytest.fixture
def watched(tmp_path):
    """A run that goes on, and the process that writes its page again every second."""
    run = tmp_path / "outputs" / "run"
    MadeUpRun(run, OVERRIDES, Fate(state="running", progress=0.4)).write()
    command = [sys.executable, "-m", "gan.report", str(run.parent), "--watch", "1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    yield run, process
    process.kill()
    process.wait()


def test_an_open_page_follows_a_run_and_keeps_the_choices_of_its_reader(browser, watched):
    run, process = watched
    path = run.parent / "report.html"
    opened = OpenPage(browser.new_page())
    listen(opened, path.as_uri())
    page = opened.page
    while not path.exists():
        assert process.poll() is None
        page.wait_for_timeout(100)
    page.goto(path.as_uri())
    page.locator("#x-axis").select_option("epoch")
    page.locator("#log-y").check()
    page.locator("#smoothing").fill("0.6")
    page.locator("#step").fill("2")
    page.locator("details#columns > summary").click()
    assert page.locator("header .state").all_inner_texts() == ["running"]
    MadeUpRun(run, OVERRIDES, Fate(progress=1.0)).write()
    page.wait_for_function("() => document.querySelector('header .state')?.textContent == 'finished'", timeout=30_000)
    assert page.locator("#x-axis").input_value() == "epoch" and page.locator("#log-y").is_checked()
    assert page.locator("#smoothing").input_value() == "0.6" and page.locator("#step").input_value() == "2"
    assert page.locator("output[for=step]").inner_text() == "step 200"
    assert page.locator("details#columns").evaluate("details => details.open")
    plot = page.evaluate("() => [...window.reportPlots[0].data[0]].at(-1)")
    assert plot == pytest.approx(1000 / 625)
    assert process.wait(timeout=30) == 0  # since nothing runs any more
    assert not opened.complaints
