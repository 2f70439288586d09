"""Images in a browser: the slider over training steps, the size, the seed, and the link to the table and the curves."""

import pytest

pytestmark = pytest.mark.slow
SAMPLES = "#images .samples[data-group] img"


def addresses(page):
    """What each run's image shows, as the start of its file."""
    page.locator("#images").scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    return page.locator(SAMPLES).evaluate_all("images => images.map(image => image.src)")


def test_the_slider_shows_each_run_at_another_step(visit):
    page = visit("sweep")
    last, slider = addresses(page), page.locator("input[type=range]#step")
    output = page.locator("output[for=step]")
    assert output.inner_text() == "step 2,500"
    slider.press("Home")
    first = addresses(page)
    assert output.inner_text() == "step 0" and len(first) == 4
    assert all(before != after for before, after in zip(first, last, strict=True))
    slider.press("ArrowRight")
    assert output.inner_text() == "step 500" and not {*addresses(page)} & {*first, *last}
    slider.press("End")
    assert addresses(page) == last


def test_a_run_without_the_step_says_which_it_shows(visit):
    page = visit("mixed")
    page.locator("input#step").press("End")
    page.wait_for_timeout(100)
    captions = page.locator("#images .samples[data-group]").all_inner_texts()
    assert any("(step 1,000)" in caption for caption in captions)


def test_every_image_decodes(visit):
    page = visit("mixed")
    for key in ("Home", "End"):
        page.locator("input#step").press(key)
        for figure in page.locator(f"{SAMPLES}:visible").all():
            figure.scroll_into_view_if_needed()
            assert figure.evaluate("async image => { await image.decode(); return image.naturalWidth }") >= 8


def test_the_size_of_the_images_is_a_choice_in_whole_multiples(visit):
    page = visit("sweep")
    image = page.locator(SAMPLES).first
    for size in ("2", "3", "1"):
        page.locator("#size").select_option(size)
        natural, shown = image.evaluate("image => [image.naturalWidth, image.getBoundingClientRect().width]")
        assert shown == int(size) * natural


def test_the_seed_of_the_images_is_a_choice(visit):
    page = visit("seeds")
    seen = []
    for seed in ("0", "1", "2"):
        page.locator("#seed").select_option(seed)
        seen.append(addresses(page))
    assert len({address for at in seen for address in at}) == 12


def test_playing_goes_through_the_steps_and_can_be_paused(visit):
    page = visit("sweep")
    play, output = page.locator("#play"), page.locator("output[for=step]")
    play.click()
    assert play.get_attribute("aria-pressed") == "true"
    page.wait_for_function("() => document.querySelector('output[for=step]').textContent == 'step 500'", timeout=5000)
    play.click()
    assert play.get_attribute("aria-pressed") == "false"
    stopped = output.inner_text()
    page.wait_for_timeout(900)
    assert output.inner_text() == stopped


@pytest.mark.parametrize("hovered", ["#runs tbody tr", "#legend button", "#images .samples"])
def test_a_row_an_image_and_a_legend_entry_are_highlighted_together(visit, hovered):
    page = visit("sweep")
    page.locator(f"{hovered}[data-group='2']").hover()
    found = page.locator(".highlight").evaluate_all("all => all.map(one => [one.dataset.group, one.localName])")
    assert {group for group, _ in found} == {"2"} and {"tr", "figure", "button"} <= {name for _, name in found}
    page.mouse.move(3, 3)
    assert page.locator(".highlight").count() == 0


def test_a_run_that_did_not_finish_is_marked_at_its_image_with_its_sentence(visit):
    page = visit("seeds")
    captions = page.locator("#images .samples[data-group] figcaption").all_inner_texts()
    marked = [caption for caption in captions if "diverged" in caption]
    assert len(marked) == 1 and "not finite at step 1500" in marked[0]
