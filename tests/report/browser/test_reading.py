"""The report's pages are quiet and offline, and can be read in any width and color scheme, on paper and by keyboard."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.slow
KINDS = ["one", "pair", "sweep", "seeds", "search", "mixed"]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_width = pytest.mark.parametrize("width", [1400, 390])
both_schemes = pytest.mark.parametrize("scheme", ["light", "dark"])
A4_POINTS = {(595, 842), (842, 595)}
OPEN_ALL = "document.querySelectorAll('details').forEach(details => details.open = true)"
CONTROLS = "a[href], button, input, select, summary, textarea, [tabindex='0']"


@every_kind
@every_width
@both_schemes
def test_the_page_writes_nothing_to_the_console_and_asks_for_nothing(shown, kind, width, scheme):
    opened = shown(kind, width, scheme)
    opened.page.wait_for_timeout(200)
    assert not opened.complaints


@every_kind
@every_width
def test_the_page_does_not_scroll_sideways(shown, kind, width):
    page = shown(kind, width).page
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(100)
    assert page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]") <= [width, width]


@every_kind
@every_width
@both_schemes
def test_the_page_has_no_serious_finding_of_accessibility(shown, kind, width, scheme):
    page = shown(kind, width, scheme).page
    page.evaluate(OPEN_ALL)
    found = Axe().run(page).response["violations"]
    serious = [finding for finding in found if finding["impact"] in ("serious", "critical")]
    assert not [(finding["id"], len(finding["nodes"]), finding["nodes"][0]["html"][:200]) for finding in serious]


@every_kind
def test_every_image_says_what_it_shows(shown, kind):
    page = shown(kind).page
    alts = page.eval_on_selector_all("img", "images => images.map(image => image.alt)")
    assert alts and all(len(alt) > 5 for alt in alts)
    assert page.eval_on_selector_all("canvas, svg", UNNAMED) == []


UNNAMED = """graphics => graphics.filter(graphic => !graphic.closest(
    "[aria-hidden=true], [aria-label], [aria-labelledby], figure:has(figcaption)")).map(graphic => graphic.outerHTML)"""

SCALES = """images => images.filter(image => image.checkVisibility() && image.width).map(image => {
    const box = image.getBoundingClientRect(), style = getComputedStyle(image);
    const edges = sides => sides.flatMap(side => [`border${side}Width`, `padding${side}`])
        .reduce((sum, name) => sum + parseFloat(style[name]), 0);
    return [(box.width - edges(["Left", "Right"])) * devicePixelRatio / image.naturalWidth,
            (box.height - edges(["Top", "Bottom"])) * devicePixelRatio / image.naturalHeight,
            style.imageRendering, image.alt];
})"""


@every_kind
@every_width
@pytest.mark.parametrize("density", [1, 2])
def test_images_are_shown_at_whole_multiples_of_their_size(shown, kind, width, density):
    page = shown(kind, width, density=density).page
    page.evaluate(OPEN_ALL)
    page.evaluate("Promise.all([...document.images].map(image => { image.loading = 'eager'; return image.decode(); }))")
    scales = page.eval_on_selector_all("img", SCALES)
    assert scales
    for across, down, rendering, alt in scales:
        assert across == pytest.approx(down, abs=0.01) and across == pytest.approx(round(across), abs=0.01), alt
        assert round(across) >= 1 and (rendering == "pixelated" or round(across) == 1), alt


@every_kind
def test_the_page_prints_on_a_sensible_number_of_a4_pages(shown, kind):
    pdf = shown(kind).page.pdf(prefer_css_page_size=True, print_background=True)
    boxes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert {(round(float(width)), round(float(height))) for width, height in boxes} <= A4_POINTS
    assert 1 <= len(boxes) <= {"one": 6, "pair": 6, "sweep": 6, "seeds": 8, "search": 14, "mixed": 25}[kind]


PRINTED = """figures => figures.map(figure => {
    const parents = []; for (let node = figure; node; node = node.parentElement) parents.push(node);
    const box = figure.getBoundingClientRect();
    return [parents.some(node => getComputedStyle(node).breakInside.startsWith("avoid")), box.height, box.right,
            figure.textContent.trim().slice(0, 60)];
})"""


@every_kind
def test_figures_are_whole_on_paper(open_page, kind):
    page = open_page(kind).page
    (across, down), *_ = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", page.pdf(prefer_css_page_size=True))
    width, height = (round(float(points) * 96 / 72) - 76 for points in (across, down))  # without margins of 10 mm
    page.emulate_media(media="print")
    page.set_viewport_size({"width": width, "height": height})
    figures = page.eval_on_selector_all("figure", PRINTED)
    assert figures
    for stays_whole, figure_height, right, text in figures:
        assert stays_whole and figure_height <= height and right <= width + 1, text
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # no table is cut at the right


FOCUSABLE = f"""[...document.querySelectorAll("{CONTROLS}")].filter(control =>
    control.checkVisibility({{visibilityProperty: true}}) && !control.disabled && control.tabIndex >= 0)"""
FOCUSED = """() => {
    const control = document.activeElement, shown = control.labels?.[0] ?? control;
    const style = [getComputedStyle(control), getComputedStyle(shown)];
    const hasOutline = one => one.outlineStyle != "none" && parseFloat(one.outlineWidth) > 0;
    const ring = style.some(one => hasOutline(one) || one.boxShadow != "none");
    control.dataset.reached = ring ? "with a ring" : "without a ring";
    return control == document.body;
}"""


@pytest.mark.parametrize("kind", ["one", "seeds", "search"])
def test_every_control_is_reached_by_tab_and_shows_it(open_page, kind):
    page = open_page(kind).page
    count = page.evaluate(f"{FOCUSABLE}.length")
    assert count > 0
    for _ in range(2 * count + 20):  # Tab also stops at what scrolls
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED):
            break
    reached = page.evaluate(f"{FOCUSABLE}.map(control => [control.dataset.reached, control.outerHTML.slice(0, 120)])")
    assert not [html for state, html in reached if state != "with a ring"]
