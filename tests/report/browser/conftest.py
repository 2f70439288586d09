"""The report's pages about made-up runs, in the Chromium or Chrome of this machine."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright

from tests.conftest import ROOT
from tests.report.made_up import KINDS

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")


@dataclass
class OpenPage:
    """A page in a window of the browser.

    Args:
        complaints: what it wrote to the console, errors that it did not catch, and what it asked for besides itself.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("needs chromium or google-chrome: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])


@pytest.fixture(scope="session")
def build_page(tmp_path_factory):
    """`build_page(kind)`: the page that `python -m gan.report` writes about made-up runs of this kind, made once."""

    @functools.cache
    def build(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("made_up") / kind
        KINDS[kind](folder)
        command = [sys.executable, "-m", "gan.report", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
        return folder / "report.html"

    return build


@pytest.fixture(scope="module")
def open_page(browser, build_page):
    """`open_page(kind, width, scheme)`: a new window of this width, for a reader who prefers `light` or `dark`."""

    def open_window(kind: str, width: int = 1400, scheme: str = "light", density: int = 1) -> OpenPage:
        path = build_page(kind)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, device_scale_factor=density
        )
        opened = OpenPage(context.new_page())
        listen(opened, path.as_uri())
        opened.page.goto(path.as_uri())
        return opened

    return open_window


@pytest.fixture(scope="module")
def shown(open_page):
    """`open_page`, where the same arguments give the same window: for tests that only look."""
    return functools.cache(open_page)


@pytest.fixture
def visit(open_page):
    """`visit(kind)`: a new window, in which a test does what a reader does; the page must not complain of it."""
    visited: list[OpenPage] = []

    def visit_page(kind: str, width: int = 1400) -> Page:
        visited.append(open_page(kind, width))
        return visited[-1].page

    yield visit_page
    for opened in visited:
        opened.page.context.close()
    assert not [complaint for opened in visited for complaint in opened.complaints]


def listen(opened: OpenPage, address: str) -> None:
    """Write down what a page complains of and asks for, and let it have nothing but itself."""

    def is_foreign(url: str) -> bool:
        return url.partition("#")[0] != address and not url.startswith(("data:", "blob:"))

    def intercept(route: Route) -> None:
        if is_foreign(route.request.url):
            route.abort()
        else:
            route.continue_()

    def note(request: Request) -> None:
        if is_foreign(request.url):
            opened.complaints.append(f"asked for {request.url}")

    opened.page.route("**/*", intercept)
    opened.page.on("request", note)
    opened.page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
    opened.page.on("pageerror", lambda error: opened.complaints.append(f"error: {error}"))
