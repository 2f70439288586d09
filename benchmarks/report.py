"""The report about many made-up runs: what the page costs to build and to open."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.goals import BUILT, OPENED
from benchmarks.tables import print_header, print_row
from benchmarks.workers import ROOT

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
RUNS = 500
OPENINGS = 3  # of which the median counts
NOTE_READY = """addEventListener("load", () => requestAnimationFrame(() => setTimeout(
    () => document.documentElement.dataset.ready = performance.now())))"""
TIMINGS = """() => [
    ...performance.getEntriesByName("first-contentful-paint").map(paint => paint.startTime),
    performance.getEntriesByType("navigation")[0].loadEventEnd,
    Number(document.documentElement.dataset.ready),
]"""


# On Linux what wait4 says of memory begins with what the parent held
PEAK = """import pathlib, runpy
try:
    runpy.run_module("gan.report", run_name="__main__")
finally:
    status = pathlib.Path("/proc/self/status")
    print(status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else "")"""


class Cost(NamedTuple):
    """Seconds, seconds of the processor and peak memory of `python -m gan.report`, and the size of report.html."""

    seconds: float
    processor_seconds: float
    memory_bytes: int
    page_bytes: int


def time_report() -> dict[str, float]:
    """Print what a report about many made-up runs costs. Returns the numbers that have goals."""
    cost, opened = measure_costs()
    print(f"## Report about {RUNS} runs, each of 200 logging points and 20 sample grids\n")
    print(f"Building it took {cost.processor_seconds:.1f} seconds of the processor, all cores together.\n")
    if not opened:
        print("It was not opened: neither chromium nor google-chrome is installed.\n")
    built = [cost.seconds, cost.memory_bytes / 1e6, cost.page_bytes / 1e6]
    found = dict(zip([*BUILT, *OPENED], [*built, *opened], strict=bool(opened)))
    print_header(["what", "measured"])
    for what, number in found.items():
        print_row([what, f"{number:.3g}"])
    print()
    return found


def measure_costs() -> tuple[Cost, list[float]]:
    """The costs of a report about made-up runs; those of opening it only where there is a browser."""
    from tests.report import made_up

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made_up.write_many(folder / "runs", RUNS)
        cost = build_report(folder / "runs", folder)
        return cost, open_report(folder / "report.html") if BROWSER else []


def build_report(runs: Path, out: Path) -> Cost:
    """Build the report about a folder of runs in a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, "-c", PEAK, str(runs), "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, code, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    last = printed.split()[-1]
    peak = 1024 * int(last) if last.isdigit() else usage.ru_maxrss
    processor_seconds = usage.ru_utime + usage.ru_stime
    return Cost(seconds, processor_seconds, peak, (out / "report.html").stat().st_size)


def open_report(page: Path) -> list[float]:
    """Seconds until the first paint of the page, until it is loaded, and until it is drawn and answers: medians."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        for _ in range(OPENINGS):  # each in a browser that has nothing of the page in its caches
            browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1400, "height": 900})
            tab.add_init_script(NOTE_READY)
            tab.goto(page.as_uri(), wait_until="load", timeout=120_000)
            tab.wait_for_selector("html[data-ready]", timeout=120_000)
            times.append(tab.evaluate(TIMINGS))
            browser.close()
    return [statistics.median(moments) / 1000 for moments in zip(*times, strict=True)]
