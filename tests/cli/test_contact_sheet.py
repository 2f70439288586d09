"""The contact sheet of a sweep: which samples it has of each run, and what it says where there are none."""

import struct
import zlib

import pytest
import torch
from PIL import Image

from gan.cli import contact_sheet
from gan.cli.contact_sheet import (
    FIGURE,
    GAP,
    MARGIN,
    SAMPLES,
    TILE,
    WIDTH,
    cut_grid,
    draw_row,
    draw_sheet,
    read_samples,
)
from gan.cli.sweep_results import MAX_SHOWN, SweepRun, count_shown
from gan.sampling import grid_columns, image_grid
from gan.system import status

STATES = ["finished", "stopped", "diverged", "failed", "refused", "not started", "in use", "interrupted"]


def images_of(shape, count):
    """Different images uint8 (count, C, H, W), none of them of one color."""
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def write_grid(path, shape, count, classes=0):
    """A grid as a run writes it. Returns its images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = images_of(shape, count)
    image_grid(images, grid_columns(count, classes)).save(path)
    return images


def a_run(folder, label="seed=1", **outcome):
    name, _, value = label.partition("=")
    return SweepRun(folder, {name: value}, status.INITIAL | {"state": "finished", "step": 9} | outcome)


def texts(monkeypatch, run):
    """What `draw_row` writes into the row of a run."""
    lines = []
    monkeypatch.setattr(contact_sheet.ImageDraw.ImageDraw, "text", lambda _, xy, text, *rest: lines.append(text))
    draw_row(run)
    monkeypatch.undo()
    return " ".join(lines)


@pytest.mark.parametrize(
    ("shape", "count", "classes"),
    [
        ((1, 28, 28), 100, 0),
        ((3, 32, 32), 64, 0),
        ((1, 28, 28), 70, 10),
        ((3, 16, 16), 64, 2),
        ((1, 4, 4), 5, 0),  # a place of the grid is empty
        ((3, 8, 12), 9, 0),
        ((1, 28, 28), 1, 0),  # without lines
        ((1, 3, 3), 2, 0),
    ],
)
def test_the_samples_are_the_first_images_of_a_grid(tmp_path, shape, count, classes):
    images = write_grid(tmp_path / "final.png", shape, count, classes)
    samples = cut_grid(tmp_path / "final.png")
    assert len(samples) == min(count, SAMPLES)
    for sample, image in zip(samples, images, strict=False):
        pixels = torch.tensor(list(sample.get_flattened_data())).view(*shape[1:], 3)
        assert torch.equal(pixels.permute(2, 0, 1), image.expand(3, -1, -1).long())


def test_black_images_are_samples_too(tmp_path):
    image_grid(torch.zeros(16, 1, 28, 28, dtype=torch.uint8), 4).save(tmp_path / "final.png")
    assert [sample.size for sample in cut_grid(tmp_path / "final.png")] == [(28, 28)] * SAMPLES


@pytest.mark.parametrize("shade", [0, 64, 255])
def test_a_grid_of_one_color_is_a_sample(tmp_path, shade):
    """Its lines, if it has any, cannot be seen."""
    Image.new("L", (30, 30), shade).save(tmp_path / "final.png")
    assert [sample.size for sample in cut_grid(tmp_path / "final.png")] == [(30, 30)]


@pytest.mark.parametrize(("side", "shown"), [(28, 56), (32, 64), (64, 64), (4, 64), (100, 64), (512, 64)])
def test_samples_of_all_sizes_are_about_as_large(side, shown):
    assert contact_sheet.enlarge(Image.new("RGB", (side, side))).size == (shown, shown)
    assert shown <= TILE


def test_a_finished_run_shows_final_png_and_another_its_last_grid(tmp_path):
    """Which may be of a later step than a final.png of an earlier time."""
    write_grid(tmp_path / "final.png", (1, 8, 8), 4)
    write_grid(tmp_path / "samples" / "step_0000010.png", (1, 16, 16), 9)
    write_grid(tmp_path / "samples" / "step_0000005.png", (1, 16, 16), 1)
    assert len(read_samples(a_run(tmp_path))[0]) == 4
    assert len(read_samples(a_run(tmp_path, state="stopped"))[0]) == 9
    (tmp_path / "final.png").unlink()
    assert len(read_samples(a_run(tmp_path))[0]) == 9


@pytest.mark.parametrize("state", STATES[1:])
def test_a_run_without_samples_says_so_with_its_state_and_the_reason(tmp_path, monkeypatch, state):
    """A grid of step 0 has no sample of it: the generator was not trained."""
    write_grid(tmp_path / "samples" / "step_0000000.png", (1, 8, 8), 4)
    text = texts(monkeypatch, a_run(tmp_path, "optim.generator.lr=-1", state=state, error="must be > 0."))
    assert all(word in text for word in ("optim.generator.lr=-1", "No samples", state.capitalize(), "must be > 0."))


def test_a_row_has_the_fid_if_it_was_taken_and_no_state_if_finished(tmp_path, monkeypatch):
    write_grid(tmp_path / "final.png", (1, 8, 8), 4)
    assert texts(monkeypatch, a_run(tmp_path)) == "seed=1"
    assert texts(monkeypatch, a_run(tmp_path, scores={"fid_digits": 7.8125, "kid_digits": 1.0})) == (
        "seed=1 fid_digits 7.812"
    )
    assert texts(monkeypatch, a_run(tmp_path, scores={"fid_digits": "x"})) == "seed=1"


def test_a_grid_with_damaged_pixels_is_named(tmp_path, monkeypatch):
    """Its chunks are whole, but what they hold is no image."""
    chunk = b"IDAT" + b"nothing compressed"
    data = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    write_grid(tmp_path / "final.png", (1, 8, 8), 4)
    head, _, rest = (tmp_path / "final.png").read_bytes().partition(b"IDAT")
    (tmp_path / "final.png").write_bytes(head[:-4] + data + rest[rest.index(b"IEND") - 4 :])
    assert "final.png cannot be read" in texts(monkeypatch, a_run(tmp_path))


def test_a_damaged_grid_or_one_from_elsewhere_is_named(tmp_path, monkeypatch):
    outside, folder = tmp_path / "private.png", tmp_path / "run"
    write_grid(outside, (1, 8, 8), 4)
    folder.mkdir()
    (folder / "final.png").write_bytes(outside.read_bytes()[:60])
    assert "final.png cannot be read" in texts(monkeypatch, a_run(folder))
    (folder / "final.png").unlink()
    (folder / "final.png").symlink_to(outside)
    assert "final.png is a link" in texts(monkeypatch, a_run(folder)) and not read_samples(a_run(folder))[0]


def test_a_long_label_is_wrapped_and_cut_and_steers_nothing(tmp_path, monkeypatch):
    long = texts(monkeypatch, a_run(tmp_path, "model.generator.hidden=[256,512,1024] " * 1000))
    assert "model.generator.hidden" in long and len(long) < 400 and "..." in long
    assert "\x1b" not in texts(monkeypatch, a_run(tmp_path, "\x1b[31m"))
    assert draw_row(a_run(tmp_path, "x" * 500)).width == WIDTH


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 1), (40, 3), (MAX_SHOWN, 6), (500, 6)])
def test_many_runs_stand_in_columns_and_no_more_than_a_limit(tmp_path, monkeypatch, count, columns):
    write_grid(tmp_path / "final.png", (1, 28, 28), 100)
    row = draw_row(a_run(tmp_path))
    monkeypatch.setattr(contact_sheet, "draw_row", lambda _: row)
    sheet = draw_sheet("a sweep", [a_run(tmp_path)] * count)
    assert sheet.width == MARGIN + columns * (WIDTH + MARGIN)
    longest = -(-min(count, MAX_SHOWN) // columns)
    assert sheet.height <= 4 * MARGIN + (longest + 1) * (row.height + MARGIN)
    assert sheet.width * sheet.height < 16e6 and WIDTH == SAMPLES * (TILE + GAP) - GAP


def test_the_title_says_how_many_of_the_runs_are_shown(tmp_path):
    runs = [a_run(tmp_path)] * 500
    assert [count_shown(runs[:count]) for count in (1, 2, MAX_SHOWN)] == ["1 run", "2 runs", f"{MAX_SHOWN} runs"]
    assert all(str(number) in count_shown(runs) for number in (MAX_SHOWN, 500))


@pytest.mark.parametrize(
    ("size", "shown"), [((500, 500), (400, 400)), ((700, 500), (560, 400)), ((700, 293), (658, 275))]
)
def test_a_figure_keeps_its_shape_and_is_as_large_as_fits(tmp_path, size, shown):
    figure = Image.new("RGB", size, "white")
    figure.paste(Image.effect_noise((size[0] - 40, size[1] - 40), 80), (20, 20))
    figure.save(tmp_path / "final.png")
    ((sample,), _) = read_samples(a_run(tmp_path))
    assert sample.size == pytest.approx(shown, abs=1)
    assert shown[0] <= WIDTH and shown[1] <= FIGURE
    assert draw_row(a_run(tmp_path)).height > shown[1]
