"""The table of runs in a browser: sorting, filter, choice of columns, rows of single seeds, states."""

import pytest

pytestmark = pytest.mark.slow
SHOWN = "#runs tbody tr:not([hidden])"


def heading(page, text):
    """The heading of the column whose name starts like this."""
    return page.locator("#runs thead th").filter(has_text=text).first


def cells(page, text):
    """The cells of that column in the rows that are shown, as text; those of seeds are left out."""
    column = heading(page, text).evaluate("heading => heading.cellIndex")
    rows = page.locator(f"{SHOWN}:not(.seed)")
    return rows.evaluate_all("(rows, column) => rows.map(row => row.cells[column].textContent.trim())", column)


def sort_by(page, text):
    heading(page, text).get_by_role("button").click()


@pytest.mark.parametrize("column", ["train.batch_size", "optim.generator.lr", "fid_mnist", "steps"])
def test_numbers_are_sorted_as_numbers_and_the_heading_says_so(visit, column):
    page = visit("search")
    sort_by(page, column)
    up = [float(text.replace(",", "")) for text in cells(page, column)]
    assert up == sorted(up) and heading(page, column).get_attribute("aria-sort") == "ascending"
    sort_by(page, column)
    down = [float(text.replace(",", "")) for text in cells(page, column)]
    assert down == sorted(up, reverse=True) and heading(page, column).get_attribute("aria-sort") == "descending"
    sort_by(page, "loss")
    assert page.locator("#runs th[aria-sort=ascending], #runs th[aria-sort=descending]").count() == 1
    assert cells(page, "loss") == sorted(cells(page, "loss")) and len(cells(page, "loss")) == 30


def test_a_row_is_sorted_as_a_whole(visit):
    page = visit("search")
    columns = "optim.generator.lr", "train.batch_size", "fid_mnist"
    before = set(zip(*(cells(page, column) for column in columns), strict=True))
    sort_by(page, "train.batch_size")
    assert set(zip(*(cells(page, column) for column in columns), strict=True)) == before


def test_rows_without_a_number_come_last_in_both_directions(visit):
    page = visit("mixed")
    for _ in range(2):
        sort_by(page, "fid_mnist")
        known = [text != "–" for text in cells(page, "fid_mnist")]
        assert any(known) and not all(known) and known == sorted(known, reverse=True)


def test_the_filter_shows_the_rows_with_all_its_words(visit):
    page = visit("sweep")
    for typed, expected in (("dcgan", 2), ("SGD dcgan", 1), ("nothing-like-it", 0), ("", 4)):
        page.locator("input#filter").fill(typed)
        assert page.locator(SHOWN).count() == expected
        assert all("dcgan" in text for text in cells(page, "run")) or not typed
    page.locator("input#filter").fill("sgd")
    sort_by(page, "fid")
    assert page.locator(SHOWN).count() == 2  # sorting shows no row that the filter hides


def test_the_filter_finds_a_state(visit):
    page = visit("mixed")
    page.locator("input#filter").fill("diverged")
    assert cells(page, "state") == ["diverged", "diverged"]


def test_each_column_can_be_hidden_and_shown(visit):
    page = visit("seeds")
    page.locator("details#columns > summary").click()
    names = page.locator("#columns label").all_inner_texts()
    assert len(names) > 8 and len(names) == len(set(names))
    for name, box in zip(names, page.locator("#columns input").all(), strict=True):
        head = page.locator("#runs thead th").evaluate_all(
            "(heads, name) => heads.findIndex(head => head.textContent.replace(/ [↓↑]/, '').trim() == name)",
            name.strip(),
        )
        column = page.locator(f"#runs tr > :nth-child({head + 1})")
        for _ in range(2):
            box.click()
            hidden = column.evaluate_all("cells => [...new Set(cells.map(cell => cell.hidden))]")
            assert hidden == [not box.is_checked()], name


def test_a_group_unfolds_to_its_seeds_which_stay_below_it(visit):
    page = visit("seeds")
    assert page.locator("#runs tr.seed:visible").count() == 0
    group = "1"
    button = page.locator(f"#runs tr[data-group='{group}'] button[aria-expanded]")
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    seeds = page.locator("#runs tr.seed:visible")
    assert seeds.evaluate_all("rows => rows.map(row => row.dataset.group)") == [group] * 3
    sort_by(page, "seconds")
    order = page.locator(SHOWN).evaluate_all("rows => rows.map(row => [row.dataset.group, row.matches('.seed')])")
    start = order.index([group, False])
    assert order[start : start + 4] == [[group, False], *[[group, True]] * 3] and len(order) == 7
    button.press("Enter")
    assert seeds.count() == 0 and button.get_attribute("aria-expanded") == "false"
    page.locator("#unfold").click()
    assert seeds.count() == 12


def test_a_group_is_the_mean_of_its_seeds(visit):
    page = visit("seeds")
    page.locator("#unfold").click()
    column = heading(page, "fid_digits").evaluate("heading => heading.cellIndex")
    row = page.locator("#runs tbody tr:not(.seed)").filter(has_text="dcgan").filter(has_text="adam")
    seeds = page.locator(f"#runs tr.seed[data-group='{row.get_attribute('data-group')}']")
    mean, _, spread = row.locator("td, th").nth(column).inner_text().partition(" ± ")
    values = [float(seed.locator("td, th").nth(column).inner_text()) for seed in seeds.all()]
    assert float(mean) == pytest.approx(sum(values) / 3, rel=0.02) and len(values) == 3
    variance = sum((value - sum(values) / 3) ** 2 for value in values) / 2
    assert float(spread) == pytest.approx(variance**0.5, rel=0.1, abs=0.005)


def test_a_state_is_a_word_in_a_color_of_its_own(visit):
    page = visit("mixed")
    states = page.locator("#runs tbody .state")
    texts, colors = states.all_inner_texts(), states.evaluate_all("all => all.map(one => getComputedStyle(one).color)")
    color_of = dict(zip(texts, colors, strict=True))
    assert {"finished", "diverged", "failed", "running", "interrupted", "stopped", "refused"} <= color_of.keys()
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink not in color_of.values()
    assert not {color_of["diverged"], color_of["failed"]} & {color_of["finished"], color_of["running"]}
    for text, state in zip(texts, states.all(), strict=True):
        assert " " in text or text in state.get_attribute("class").split()


@pytest.mark.parametrize("width", [1400, 390])
def test_headings_and_names_stay_in_sight_while_the_table_scrolls(visit, width):
    page = visit("mixed", width)
    page.locator("details#columns > summary").click()
    for box in page.locator("#columns input").all():
        box.check()
    region = page.locator(".scroll:has(#runs)")
    region.evaluate("region => region.scrollTo(300, 400)")
    top, left = region.evaluate("region => [region.getBoundingClientRect().top, region.getBoundingClientRect().left]")
    assert region.evaluate("region => region.scrollTop") > 100 and region.evaluate("region => region.scrollLeft") > 100
    head, name = (
        page.locator("#runs thead th").nth(3).bounding_box(),
        page.locator("#runs tbody tr").nth(9).locator("th"),
    )
    assert abs(head["y"] - top) < 3 and abs(name.bounding_box()["x"] - left) < 3


def test_the_baseline_of_real_images_stays_below_the_runs(visit):
    page = visit("sweep")
    for column in ("fid_digits", "fid_digits", "state"):
        sort_by(page, column)
        assert "real data" in page.locator("#runs tr").last.inner_text()
    cell = page.locator("#runs tfoot td").nth(heading(page, "fid_digits").evaluate("head => head.cellIndex") - 1)
    assert 0 < float(cell.inner_text()) < min(float(text) for text in cells(page, "fid_digits"))


def test_the_name_of_a_run_leads_to_its_details(visit):
    page = visit("sweep")
    link = page.locator("#runs tbody a").nth(2)
    details = page.locator(link.get_attribute("href"))
    assert not details.evaluate("details => details.open")
    link.click()
    page.wait_for_function("details => details.open", arg=details.element_handle())
