"""The explorer in the Chromium or Chrome of this machine: its images are the generator's, and all can be operated."""

import functools

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe

from gan import sampling
from gan.explorer import page as explorer_page
from gan.explorer.directions import principal_directions
from gan.training import build
from tests.conftest import narrow
from tests.report.browser.conftest import OpenPage, browser, listen  # noqa: F401
from tests.test_sample_files import sample

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
SIZE = ["train.max_steps=2", "noise.dim=10"]
KINDS = {
    "mlp": [],
    "sphere": ["noise.kind=sphere"],
    "uniform": ["noise.kind=uniform"],
    "dcgan": ["dcgan", "dataset.image_size=16"],
    "conditional": ["dcgan", "trick=[conditional]"],
    "clusters": ["dcgan", "trick=[clusters]", "trick.clusters.count=5"],
}
PLANES = {"planes": KINDS["conditional"]}  # of images, as if the generator were too large for a page
GENERATE = (
    "async ([vectors, labels]) => Array.from(await generate(vectors.map(each => Float32Array.from(each)), labels))"
)
PIXELS = """id => { const canvas = document.getElementById(id), {width, height} = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
    copy.drawImage(canvas, 0, 0);
    return Array.from(copy.getImageData(0, 0, width, height).data); }"""
SET = """([id, value]) => { const input = typeof id === "number" ? sliders[id] : document.getElementById(id);
    input.value = value; input.dispatchEvent(new Event("input")); }"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, cache):
    """`pages(kind)`: a run of this kind, and the page about it, made once."""
    from gan.config import check
    from gan.training import loop
    from tests.conftest import TINY, composed

    @functools.cache
    def make(kind):
        folder = tmp_path_factory.mktemp("explorer") / kind
        chosen = (KINDS | PLANES)[kind]
        model = ["model=dcgan", *narrow("dcgan")] if "dcgan" in chosen else TINY[3:6]
        rest = [each for each in chosen if each != "dcgan"]
        cfg = composed(*TINY[:3], TINY[6], *model, *SIZE, *rest, f"cache_dir={cache}", "train.epochs=null")
        loop.train(build.build_run(cfg, check.check_config(cfg), {}), folder)
        with pytest.MonkeyPatch.context() as patch:
            if kind == "planes":
                patch.setattr(explorer_page, "MAX_BYTES", 1_000_000)
            return build.load_trained(folder, "last", True, CPU), sample(folder, "format=explorer", "n=4")

    return make


@pytest.fixture
def visit(browser, pages):  # noqa: F811
    """`visit(kind, width, scheme)`: a run, and its page in a window; the page must not complain."""
    visited = []

    def open_window(kind, width=1300, scheme="light"):
        run, path = pages(kind)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened = OpenPage(context.new_page())
        visited.append(opened)
        listen(opened, path.as_uri())
        opened.page.goto(path.as_uri())
        wait(opened.page)
        return run, opened.page

    yield open_window
    for opened in visited:
        opened.page.context.close()
    assert not [complaint for opened in visited for complaint in opened.complaints]


def wait(page):
    page.wait_for_selector("#plane[aria-busy=false]", timeout=20_000)


def choose(page, **values):
    for name, value in values.items():
        page.evaluate(SET, [int(name[1:]) if name.startswith("d") and name[1:].isdecimal() else name, str(value)])
    wait(page)


def labels_of(run, label, count):
    is_labelled = run.generator.label_embedding is not None
    return torch.full((count,), label) if is_labelled else None


@pytest.mark.parametrize("kind", KINDS)
def test_images_in_the_browser_are_those_of_the_generator(visit, kind):
    run, page = visit(kind)
    noise = run.noise.sample(6, torch.Generator().manual_seed(3))
    label = 2 if run.generator.label_embedding is not None else 0
    found = page.evaluate(GENERATE, [noise.tolist(), [label] * 6])
    expected = sampling.run_generator(run.generator, noise, labels_of(run, label, 6), 6)
    assert expected.std() > 0.01
    assert (torch.tensor(found).view_as(expected) - expected).abs().max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_follows_seed_class_truncation_and_directions(visit, kind):
    run, page = visit(kind)
    start = sampling.draw_noise(run.noise, 1, 2, "sample")
    labels = labels_of(run, 3, 1)
    if run.generator.clusters is not None:
        start, _ = run.generator.clusters(start)
    choose(page, seed=2, d0=1.5, d4=-0.5)
    if labels is not None:
        choose(page, **{"class": 3})
    factor = 1.0
    if run.noise.kind != "sphere":
        choose(page, truncation=0.8)
        factor = 0.8
    directions = torch.tensor(page.evaluate("Array.from(directions)")).view(-1, run.noise.dim)
    noise = run.noise.nearest(factor * start + 1.5 * directions[0] - 0.5 * directions[4])
    assert torch.allclose(torch.tensor(page.evaluate("Array.from(noiseOf())")), noise[0], atol=1e-4)
    expected = sampling.generate(run.generator, noise, labels, 1)[0]
    shown = np.array(page.evaluate(PIXELS, "image")).reshape(run.image.size, run.image.size, 4)
    assert np.abs(shown[:, :, 0].astype(int) - expected[0].numpy()).max() <= 1 and (shown[:, :, 3] == 255).all()


def test_the_plane_has_the_image_of_each_place(visit):
    run, page = visit("mlp")
    size, step = run.image.size, run.image.size + 1
    page.evaluate("moveTo(-3, 1.5)")
    wait(page)
    width = 9 * step - 1
    pixels = page.evaluate("() => Array.from(map.getContext('2d').getImageData(0, 0, map.width, map.height).data)")
    plane = np.array(pixels).reshape(width, width, 4)[:, :, 0]
    image = np.array(page.evaluate(PIXELS, "image")).reshape(size, size, 4)[:, :, 0]
    assert np.abs(plane[6 * step : 6 * step + size, :size].astype(int) - image).max() <= 1
    assert np.abs(plane[:size, :size].astype(int) - image).max() > 1


def test_the_plane_moves_by_pointer_and_keyboard_and_with_the_sliders(visit):
    _, page = visit("dcgan")
    values = "() => sliders.slice(0, 3).map(slider => Number(slider.value))"
    box = page.locator("#plane").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.5)
    assert page.evaluate(values) == [pytest.approx(3, abs=0.1), pytest.approx(0, abs=0.1), 0]
    page.locator("#plane").focus()
    page.keyboard.press("Home")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate(values) == [0.5, 0.75, 0]
    page.select_option("#across", "2")
    page.keyboard.press("Tab")
    page.locator("#plane").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(values) == [0.5, 0.75, -0.25]
    mark = page.locator("#plane i").bounding_box()
    assert mark["x"] < box["x"] + box["width"] / 2 < mark["x"] + box["width"] / 4
    page.get_by_role("button", name="Reset directions").press("Enter")
    assert page.evaluate(values) == [0, 0, 0]
    wait(page)


def test_a_random_seed_brings_its_cluster_and_the_image_can_be_saved(visit):
    run, page = visit("clusters")
    for _ in range(4):
        page.get_by_role("button", name="Random seed").click()
        seed = int(page.input_value("#seed"))
        _, (cluster,) = run.generator.clusters(sampling.draw_noise(run.noise, 1, seed, "sample"))
        assert int(page.input_value("#class")) == cluster
    wait(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save image").click()
    assert download.value.suggested_filename == f"seed{seed}.png"


def test_planes_of_images_show_the_images_of_the_generator(visit):
    run, page = visit("planes")
    size = run.image.size

    def shown():
        return np.array(page.evaluate(PIXELS, "image")).reshape(size, size, 4)[:, :, 0].astype(int)

    def image_of(seed, across, down):
        start = sampling.draw_noise(run.noise, 1, seed, "sample")
        labels = torch.tensor([seed])
        directions = principal_directions(
            run.generator,
            run.noise,
            torch.cat([sampling.draw_noise(run.noise, 1, each, "sample") for each in range(4)]),
            torch.zeros(4, dtype=torch.int64),
        )
        noise = run.noise.nearest(start + across * directions[0] + down * directions[1])
        return sampling.generate(run.generator, noise, labels, 1)[0, 0].numpy()

    assert np.abs(shown() - image_of(0, 0, 0)).max() <= 1
    page.locator("#plane").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    assert np.abs(shown() - image_of(0, 1.5, -0.75)).max() <= 1
    page.locator("#seed").focus()
    page.keyboard.press("ArrowRight")
    wait(page)
    assert page.text_content("#label") == "1"
    assert np.abs(shown() - image_of(1, 1.5, -0.75)).max() <= 1
    box = page.locator("#plane").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.01, box["y"] + box["height"] * 0.99)
    assert np.abs(shown() - image_of(1, -3, 3)).max() <= 1
    page.get_by_role("button", name="Center").click()
    assert np.abs(shown() - image_of(1, 0, 0)).max() <= 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Save image").click()
    assert download.value.suggested_filename == "seed1.png"


@pytest.mark.parametrize("kind", ["conditional", "planes"])
@pytest.mark.parametrize("width", [1300, 800, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_any_width_and_scheme(visit, kind, width, scheme):
    _, page = visit(kind, width, scheme)
    assert page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]") <= [width, width]
    found = Axe().run(page).response["violations"]
    serious = [finding for finding in found if finding["impact"] in ("serious", "critical")]
    assert not [(finding["id"], finding["nodes"][0]["html"][:200]) for finding in serious]
