"""Curves in a browser: legend, axes, smoothing, zoom, values under the pointer, and the marks of diverged runs."""

import itertools

import pytest

pytestmark = pytest.mark.slow
# Of each plot its panel, and of each series but x the group, whether it is shown, and its values.
PLOTS = """() => window.reportPlots.map(({panel, data, scales, series}) => ({
    panel, xs: [...data[0]], scales: [scales.x.min, scales.x.max, scales.y.min, scales.y.max], distr: scales.y.distr,
    series: series.slice(1).map(({group, show, label}, index) => ({group, show, label, values: [...data[index + 1]]})),
}))"""


def plots(page):
    """The plots by the name of what they show."""
    page.locator("#curves").scroll_into_view_if_needed()
    page.wait_for_timeout(50)
    return {plot["panel"]: plot for plot in page.evaluate(PLOTS)}


def variation(values):
    """Sum of the changes from point to point."""
    known = [value for value in values if value is not None]
    return sum(abs(after - before) for before, after in itertools.pairwise(known))


def drawn(page, panel):
    """What the canvas of a plot looks like."""
    return page.evaluate("panel => window.reportPlots.find(plot => plot.panel == panel).ctx.canvas.toDataURL()", panel)


def test_every_run_with_numbers_has_a_curve_in_every_plot(visit):
    shown = plots(visit("sweep"))
    assert {"discriminator/loss", "generator/loss", "discriminator/real", "discriminator/fake"} <= shown.keys()
    assert any(panel.startswith("fid") for panel in shown)
    for plot in shown.values():
        lines = [line for line in plot["series"] if line["label"]]
        assert sorted(line["group"] for line in lines) == [0, 1, 2, 3]
        assert all(sum(value is not None for value in line["values"]) >= 5 for line in lines)


def test_a_legend_entry_hides_and_shows_its_curves(visit):
    page = visit("seeds")
    entry = page.locator("#legend button[data-group='1']")
    assert entry.get_attribute("aria-pressed") == "true"
    plots(page)
    before = drawn(page, "discriminator/loss")
    entry.click()
    page.mouse.move(3, 3)
    assert entry.get_attribute("aria-pressed") == "false"
    for plot in plots(page).values():
        assert {line["show"] for line in plot["series"] if line["group"] == 1} == {False}
        assert {line["show"] for line in plot["series"] if line["group"] != 1} == {True}
    assert drawn(page, "discriminator/loss") != before
    entry.press("Space")
    assert all(line["show"] for plot in plots(page).values() for line in plot["series"])


def test_what_is_hidden_stays_hidden_when_the_plots_are_drawn_again(visit):
    page = visit("sweep")
    page.locator("#legend button[data-group='2']").click()
    page.locator("#x-axis").select_option("epoch")
    page.locator("#smoothing").fill("0.5")
    for plot in plots(page).values():
        assert {line["group"] for line in plot["series"] if not line["show"]} == {2}


def test_smoothing_makes_curves_smoother_and_nothing_else(visit):
    page = visit("one")
    raw = plots(page)["discriminator/loss"]
    page.locator("input[type=range]#smoothing").fill("0.9")
    smooth = plots(page)["discriminator/loss"]
    before, after = raw["series"][0]["values"], smooth["series"][0]["values"]
    assert variation(after) < 0.5 * variation(before) and after[0] == pytest.approx(before[0])
    assert min(before) - 1e-9 <= min(after) and max(after) <= max(before) + 1e-9 and smooth["xs"] == raw["xs"]
    page.locator("#smoothing").fill("0")
    assert plots(page)["discriminator/loss"] == raw


def test_the_horizontal_axis_is_steps_epochs_or_seconds(visit):
    page = visit("one")
    ends = {}
    for axis in ("seconds", "epoch", "step"):
        page.locator("select#x-axis").select_option(axis)
        ends[axis] = {plot["xs"][-1] for plot in plots(page).values()}
    assert ends["step"] == {3750} and ends["epoch"] == {2}
    (seconds, *_) = ends["seconds"]
    assert 50 < seconds < 200 and all(other == pytest.approx(seconds, rel=0.1) for other in ends["seconds"])


def test_the_vertical_axis_can_be_logarithmic(visit):
    page = visit("sweep")
    linear = plots(page)
    page.locator("input#log-y").check()
    logarithmic = plots(page)
    assert {name for name, plot in linear.items() if plot["distr"] != 1} == {"fid_digits"}  # whose end would be flat
    assert logarithmic["generator/loss"]["distr"] == 3 and logarithmic["discriminator/gradient_norm"]["distr"] == 3
    for plot in logarithmic.values():
        values = [value for line in plot["series"] for value in line["values"] if value]
        assert plot["distr"] == 1 or 0 < plot["scales"][2] <= min(values) <= max(values) <= plot["scales"][3]


def test_nothing_is_cut_off_on_a_linear_axis(visit):
    for plot in plots(visit("sweep")).values():
        values = [value for line in plot["series"] for value in line["values"] if value is not None]
        assert plot["scales"][2] <= min(values) and max(values) <= plot["scales"][3]


def test_dragging_zooms_all_plots_and_a_double_click_resets_them(visit):
    page = visit("one")
    whole = plots(page)
    box = page.locator("figure.plot .u-over").nth(1).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    page.mouse.up()
    first, last = whole["discriminator/loss"]["scales"][:2]
    for plot in plots(page).values():
        low, high, *_ = plot["scales"]
        assert low == pytest.approx(first + 0.25 * (last - first), rel=0.05)
        assert high == pytest.approx(first + 0.5 * (last - first), rel=0.05)
    page.locator("figure.plot .u-over").nth(1).dblclick()
    assert {name: plot["scales"] for name, plot in plots(page).items()} == {
        name: plot["scales"] for name, plot in whole.items()
    }


def test_the_reset_button_resets_the_zoom(visit):
    page = visit("one")
    whole = plots(page)
    page.evaluate("window.reportPlots[0].setScale('x', {min: 500, max: 900})")
    assert plots(page) != whole
    page.locator("#reset").click()
    assert plots(page) == whole


def test_the_pointer_shows_the_value_of_the_nearest_curve(visit):
    page = visit("sweep")
    plots(page)
    over = page.locator("figure.plot .u-over").nth(1)
    box = over.bounding_box()
    over.hover(position={"x": box["width"] * 0.6, "y": box["height"] * 0.4})
    tip = page.locator("figure.plot .tip:visible")
    assert tip.count() == 1
    name, _, numbers = tip.inner_text().partition(": ")
    assert name in page.locator("#legend .entry").all_inner_texts() and "step" in numbers
    assert 0 < float(numbers.split()[0]) < 5


def test_each_seed_can_have_a_curve(visit):
    page = visit("seeds")
    page.locator("input#each-seed").check()
    for name, plot in plots(page).items():
        groups = [line["group"] for line in plot["series"] if line["label"]]
        assert [groups.count(group) for group in range(4)] == [3, 3, 3, 3], name


def test_a_band_over_seeds_surrounds_its_mean(visit):
    plot = plots(visit("seeds"))["discriminator/loss"]
    own = [line["values"] for line in plot["series"] if line["group"] == 0]
    assert len(own) == 3
    known = [(mean, high, low) for mean, high, low in zip(*own, strict=True) if mean is not None]
    assert len(known) > 20 and all(low < mean < high for mean, high, low in known)


RED = """panel => {
    const plot = window.reportPlots.find(plot => plot.panel == panel), canvas = plot.ctx.canvas;
    const wanted = getComputedStyle(document.documentElement).getPropertyValue("--bad").trim().match(/\\w\\w/g);
    const [red, green, blue] = wanted.map(part => parseInt(part, 16));
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
    copy.drawImage(canvas, 0, 0);
    const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
        const distance = Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue);
        count += data[i + 3] == 255 && distance < 20;
    }
    return count;
}"""


def test_a_diverged_run_ends_with_a_mark(visit):
    page = visit("seeds")
    names = page.locator("#legend .entry").all_inner_texts()
    plots(page)
    assert page.evaluate(RED, "discriminator/loss") > 10
    (number,) = (n for n, name in enumerate(names) if "mlp" in name and "sgd" in name)
    page.locator("#legend .entry").nth(number).click()
    page.mouse.move(3, 3)
    page.wait_for_timeout(100)
    assert page.evaluate(RED, "discriminator/loss") == 0


def test_of_many_runs_the_best_are_shown_first_and_all_on_demand(visit):
    page = visit("search")
    shown = page.locator("#legend .entry[aria-pressed=true]")
    assert 4 <= shown.count() <= 10
    for choice, count in (("all", 30), ("none", 0)):
        page.locator(f"#legend [data-show={choice}]").click()
        assert shown.count() == count
        drawn_groups = [{line["group"] for line in plot["series"] if line["show"]} for plot in plots(page).values()]
        assert all(len(groups) == count for groups in drawn_groups)


def test_curves_follow_the_width_of_the_window(visit):
    page = visit("one", width=1400)
    plots(page)
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("figure.plot .uplot").first.bounding_box()["width"] <= 390
