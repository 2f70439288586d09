"""Sample images of a published set-up: which grids are shown, whole multiples of their size, in few bytes."""

import io
import random

import pytest
from PIL import Image, ImageChops

from gan.report import setup_images
from gan.report.claim_files import Images
from gan.report.setup_images import (
    LABEL,
    LINE,
    MARGIN,
    Tile,
    crop,
    draw_grids,
    draw_rows,
    draw_sheet,
    grids_of,
    parts_of,
)
from tests.report.conftest import write_claim_run

PLAN = Images(at=[1, 10])
RANDOM = random.Random(0)


def grid_of(count, columns, side=6, mode="L"):
    """A grid of images of noise, as training writes it."""
    rows = -(-count // columns)
    grid = Image.new(mode, (columns * (side + 1) + 1, rows * (side + 1) + 1), "#404040")
    for number in range(count):
        y, x = divmod(number, columns)
        noise = Image.frombytes(mode, (side, side), RANDOM.randbytes(side * side * len(grid.getbands())))
        grid.paste(noise, (x * (side + 1) + 1, y * (side + 1) + 1))
    return grid


def write_grids(folder, grids, **status):
    """A run of ten steps an epoch, with files in its samples."""
    run = write_claim_run(folder, **status)
    (folder / "samples").mkdir()
    for name, grid in grids.items():
        grid.save(folder / "samples" / f"{name}.png")
    return run


def opened(content):
    return Image.open(io.BytesIO(content))


def test_the_grids_after_the_authors_epochs_are_shown_and_real_images_at_the_end(tmp_path):
    names = ["step_0000010", "step_0000011", "step_0000100", "normalized_0000100", "real"]
    grids = {name: grid_of(4, 2) for name in names}
    run = write_grids(tmp_path, grids)
    for plan, expected in (
        (PLAN, {"epoch 1": "step_0000010", "epoch 10": "step_0000100", "real": "real"}),
        (Images(at=[11, 12], unit="step"), {"step 11": "step_0000011", "real": "real"}),
        (Images(at=[10], normalized=True), {"epoch 10": "normalized_0000100", "real": "real"}),
        (Images(at=[7]), {}),
    ):
        shown = grids_of(plan, run)
        assert list(shown) == list(expected)
        assert not any(ImageChops.difference(shown[key], grids[name]).getbbox() for key, name in expected.items())


@pytest.mark.parametrize(("count", "columns"), [(5, 5), (25, 5), (64, 8)])
def test_a_part_of_a_grid_is_whole_images_with_their_lines(count, columns):
    grid = grid_of(count, columns)
    rows, found = parts_of(grid)
    assert (len(rows), len(found)) == (count // columns, columns)
    assert crop(grid, None, 1).size == grid.size
    strip = crop(grid, 1, 2)
    half = -(-columns // 2)
    assert strip.size == (half * 7 + 1, 8) and len(parts_of(strip)[1]) == half
    assert not ImageChops.difference(strip, grid.crop((0, 0, *strip.size))).getbbox()


@pytest.mark.parametrize("side", [6, 28, 64, 120])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_are_a_whole_number_of_times_as_large_and_never_stretched(side, mode):
    tiles = [Tile(f"epoch {epoch}", grid_of(4, 2, side, mode)) for epoch in range(5)]
    sheet = draw_sheet("seed 0", tiles)
    assert sheet.mode == mode and sheet.width <= 880
    for factor in (1, 2, 3):
        big = tiles[0].image.resize((tiles[0].image.width * factor,) * 2, Image.Resampling.NEAREST)
        start = MARGIN, MARGIN + 2 * LINE
        area = sheet.crop((*start, start[0] + big.width, start[1] + big.height))
        if not ImageChops.difference(area.convert("RGB"), big.convert("RGB")).getbbox():
            break
    else:
        pytest.fail("its pixels are not those of the grid")
    assert factor == {6: 3, 28: 3, 64: 2, 120: 1}[side]


def test_each_seed_has_a_row_after_each_epoch_and_an_empty_one_where_it_ended_before(tmp_path):
    whole = write_grids(tmp_path / "0", {name: grid_of(4, 2) for name in ("step_0000010", "step_0000100", "real")})
    ended = write_grids(tmp_path / "1", {"step_0000010": Image.new("L", (15, 15), 64)}, state="diverged")
    never = write_claim_run(tmp_path / "2", state="diverged", steps=3)
    with opened(draw_rows(PLAN, {"seed 0": whole, "seed 1": ended, "seed 2": never})) as image:
        sheet = image.convert("L")
    scale, top = 3, MARGIN + 2 * LINE
    step = (LABEL + 15) * scale + MARGIN
    heights = [MARGIN + number * step + LABEL * scale for number in range(3)]
    filled = [
        [
            sheet.crop((x, top + row * LINE * scale, x + 24, top + row * LINE * scale + 24)).getextrema() != (255, 255)
            for row in range(3)
        ]
        for x in heights
    ]
    assert filled == [[True] * 3, [True, False, False], [False] * 3]


def test_a_grid_of_one_row_is_left_to_the_rows_of_all_seeds(tmp_path):
    run = write_grids(tmp_path, {"step_0000010": grid_of(5, 5)})
    assert draw_grids(PLAN, "seed 0", run) is None and draw_rows(PLAN, {"seed 0": run})


def test_runs_without_grids_have_no_images(tmp_path):
    run = write_grids(tmp_path, {"real": grid_of(4, 2), "step_0000030": grid_of(4, 2)})
    assert draw_grids(PLAN, "seed 0", run) is None and draw_rows(PLAN, {"seed 0": run}) is None


@pytest.mark.parametrize("mode", ["L", pytest.param("RGB", marks=pytest.mark.slow)])
def test_of_grids_too_large_for_the_repository_a_part_is_shown_which_says_so(tmp_path, mode, monkeypatch):
    texts, side = [], 70 if mode == "L" else 52
    draw = setup_images.ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        setup_images.ImageDraw.ImageDraw, "text", lambda self, xy, text, *rest: [texts.append(text), draw(self, xy, text, *rest)]
    )  # fmt: skip
    noise = write_grids(tmp_path / "0", {f"step_{step:07d}": grid_of(64, 8, side, mode) for step in (10, 100)})
    content = draw_grids(PLAN, "seed 0", noise)
    assert len(content) <= 120_000 and texts[0] == "seed 0" and "seed 0, the upper left 16 of each grid" in texts
    assert len(draw_rows(PLAN, {"seed 0": noise, "seed 1": noise})) <= 60_000
    texts.clear()
    small = write_grids(tmp_path / "1", {f"step_{step:07d}": grid_of(64, 8, 6, mode) for step in (10, 100)})
    assert len(draw_grids(PLAN, "seed 0", small)) <= 120_000 and not any("part" in text for text in texts)


@pytest.mark.parametrize("damage", ["no image", "too large"])
def test_a_grid_that_cannot_be_shown_is_left_out(tmp_path, damage):
    run = write_grids(tmp_path, {"step_0000010": grid_of(4, 2), "step_0000100": Image.new("L", (9000, 3))})
    if damage == "no image":
        (tmp_path / "samples" / "step_0000100.png").write_bytes(b"no image")
    assert list(grids_of(PLAN, run)) == ["epoch 1"]
