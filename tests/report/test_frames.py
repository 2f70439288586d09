"""Sample grids in a page: at their own pixels, within a budget, at steps that the runs share."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from gan.report import frames
from gan.report.runs import find_runs
from tests.report.conftest import write_run


def grid_of(tiles, side, seed=0):
    """A grid of noise with lines of one pixel between the images, as sampling.image_grid makes it."""
    pixels = np.full((tiles * (side + 1) + 1,) * 2, 64, np.uint8)
    for row, column in np.ndindex(tiles, tiles):
        noise = np.random.default_rng((seed, row, column)).integers(0, 255, (side, side))
        pixels[1 + row * (side + 1) :, 1 + column * (side + 1) :][:side, :side] = noise
    return Image.fromarray(pixels).convert("RGB")


def decode(frame):
    return Image.open(io.BytesIO(base64.b64decode(frame.url.partition(",")[2])))


def test_a_grid_keeps_its_pixels():
    grid = grid_of(8, 28)
    frame = frames.Encoding(8, is_lossless=True).frame(5, grid)
    assert frame.step == 5 and (frame.width, frame.height) == grid.size == (233, 233) and not frame.is_reduced
    assert np.array_equal(np.asarray(decode(frame).convert("RGB")), np.asarray(grid))


@pytest.mark.parametrize(
    ("side", "tiles", "width"), [(28, 3, 88), (32, 8, 265), (64, 5, 326), (128, 2, 259), (256, 1, 258)]
)
def test_whole_images_are_cut_off_until_a_grid_is_as_wide_as_a_phone(side, tiles, width):
    frame = frames.Encoding(3 if side == 28 else 8, is_lossless=True).frame(0, grid_of(8, side))
    assert frame.width == frame.height == width == tiles * (side + 1) + 1
    assert np.array_equal(
        np.asarray(decode(frame).convert("RGB")), np.asarray(grid_of(8, side).crop((0, 0, width, width)))
    )


@pytest.mark.parametrize(
    ("size", "shown", "kept"),
    [((700, 350), (233, 116), (700, 350)), ((500, 500), (250, 250), (500, 500)), ((1700, 340), (340, 68), (850, 170))],
)
def test_an_image_wider_than_a_phone_is_shown_at_a_whole_fraction_and_keeps_pixels_to_enlarge(size, shown, kept):
    frame = frames.Encoding(8, is_lossless=True).frame(0, grid_of(1, 1698).crop((0, 0, *size)))
    assert (frame.width, frame.height) == shown and decode(frame).size == kept and frame.is_reduced


def write_grids(folder, steps, tiles=8, side=8):
    write_run(folder, f"seed={folder.name}", frames=0)
    for step in steps:
        grid_of(tiles, side, step).save(folder / "samples" / f"step_{step:07d}.png")


def test_all_runs_share_the_budget_and_keep_their_last_grid(tmp_path, monkeypatch):
    for number in range(4):
        write_grids(tmp_path / str(number), range(30))
    runs = find_runs([tmp_path])
    size = len(frames.ENCODINGS[0].frame(0, grid_of(8, 8)).url)

    def embedded(budget):
        monkeypatch.setattr(frames, "PAGE_BYTES", budget)
        found, encoding = frames.embed_grids(runs)
        assert sum(len(frame.url) for own in found.values() for frame in own) * 3 / 4 < 1.2 * budget
        return [frame.step for frame in found[runs[0].folder]], encoding.tiles

    assert embedded(1000 * size) == (frames.thin_out(list(range(30)), 24), 8)
    steps, tiles = embedded(4 * 10 * size * 3 // 4)
    assert 8 <= len(steps) <= 11 and tiles == 8 and steps[-1] == 29
    steps, tiles = embedded(4 * 2 * size * 3 // 4)
    assert len(steps) >= 8 and tiles < 8 and steps[-1] == 29


def test_runs_are_shown_at_the_steps_that_most_of_them_have(tmp_path):
    for number, steps in enumerate((range(0, 100, 2), range(0, 100, 2), range(0, 61, 3))):
        write_grids(tmp_path / str(number), steps)
    found, _ = frames.embed_grids(find_runs([tmp_path]))
    first, second, third = ([frame.step for frame in own] for own in found.values())
    assert first == second and len(first) <= 24 and first[-1] == 98
    assert third[-1] == 60 and set(third[:-1]) <= set(first)


def test_a_broken_grid_does_not_decide_on_the_size_of_the_others(tmp_path):
    write_grids(tmp_path / "0", [1, 2])
    write_run(tmp_path / "1", "seed=1", frames=0)
    (tmp_path / "1" / "samples" / "step_0000002.png").write_bytes(b"x" * 100_000)
    runs = find_runs([tmp_path])
    found, encoding = frames.embed_grids(runs)
    assert [len(own) for own in found.values()] == [2, 0] and encoding.tiles == 8
    assert "step_0000002.png" in " ".join(runs[1].problems)


def test_an_animation_is_embedded_as_it_is_unless_it_is_large(tmp_path):
    write_run(tmp_path / "0")
    (run,) = find_runs([tmp_path])
    path = tmp_path / "0" / "samples.gif"
    assert frames.embed_animation(run, "samples.gif", 10**6) is None and not run.problems
    stills = [grid_of(2, 8, seed) for seed in range(3)]
    stills[0].save(path, save_all=True, append_images=stills[1:])
    frame = frames.embed_animation(run, "samples.gif", 10**6)
    assert base64.b64decode(frame.url.partition(",")[2]) == path.read_bytes() and frame.width == stills[0].width
    assert frames.embed_animation(run, "samples.gif", 100) is None and not run.problems
    path.write_bytes(b"x")
    assert frames.embed_animation(run, "samples.gif", 10**6) is None and "samples.gif" in run.problems[0]
