"""The contact sheet of a report: which images and words it has, that no image is stretched, and its size."""

import io

import numpy as np
import pytest
from PIL import Image

from gan.cli import contact_sheet
from gan.report import sheet
from gan.report.contents import Matrix, Report
from gan.report.groups import group_runs
from gan.report.runs import find_runs
from gan.report.sheet import MAX_CELLS, draw_report_sheet, first_cells, report_sheet
from gan.system import fonts
from tests.report.conftest import COMPLETE_PROTOCOL, write_run


def write_grid(path, count=16, side=28, seed=0):
    """A grid as a run writes it, of noise in four columns."""
    grid = np.zeros((1 + (count // 4) * (side + 1), 1 + 4 * (side + 1)), dtype=np.uint8)
    for number in range(count):
        top, left = 1 + number // 4 * (side + 1), 1 + number % 4 * (side + 1)
        rng = np.random.default_rng([seed, number])
        grid[top : top + side, left : left + side] = rng.integers(1, 256, (side, side), dtype=np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(grid).save(path)
    return grid[1 : 1 + side, 1 : 1 + side]


def a_run(folder, *overrides, side=28, **keys):
    """A run with a final.png. Returns its first image."""
    write_run(folder, *overrides, **keys)
    return write_grid(folder / "final.png", side=side, seed=len(str(folder)) + sum(map(ord, folder.name)))


@pytest.fixture
def texts(monkeypatch):
    """What is written into sheets, text by text."""
    found, draw = [], sheet.draw_text
    monkeypatch.setattr(
        sheet, "draw_text", lambda text, *args, **keys: (found.append(text), draw(text, *args, **keys))[1]
    )
    return found


def sheet_of(folder):
    return np.asarray(Image.open(io.BytesIO(report_sheet(Report(find_runs([folder]), folder)))).convert("RGB"))


def find(image, part):
    """The place of a gray image in a sheet: (top, left), or None."""
    (rows, columns), pixels = part.shape, image[..., 0]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, columns, axis=1)
    for top, left in np.argwhere((windows == part[0]).all(axis=-1)):
        if (pixels[top : top + rows, left : left + columns] == part).all():
            return int(top), int(left)
    return None


def test_models_are_rows_and_optimizers_columns_of_images_at_a_whole_multiple(tmp_path, texts):
    first = {}
    for model in ("mlp", "dcgan"):
        for optim in ("adam", "sgd"):
            scores = {"fid_mnist": 1.23456 if optim == "adam" else 20.0} | COMPLETE_PROTOCOL
            folder = tmp_path / f"{model}-{optim}"
            first[model, optim] = a_run(folder, f"model={model}", f"optim={optim}", scores=scores)
    image = sheet_of(tmp_path)
    places = {key: find(image, part.repeat(2, axis=0).repeat(2, axis=1)) for key, part in first.items()}
    assert None not in places.values()
    tops = {model: {places[model, optim][0] for optim in ("adam", "sgd")} for model in ("mlp", "dcgan")}
    lefts = {optim: {places[model, optim][1] for model in ("mlp", "dcgan")} for optim in ("adam", "sgd")}
    assert all(len(values) == 1 for values in (*tops.values(), *lefts.values()))
    assert max(lefts["adam"]) < min(lefts["sgd"])
    assert {"model=mlp", "model=dcgan", "optim=adam", "optim=sgd", "fid_mnist 1.23", "fid_mnist 20"} <= set(texts)


def test_real_images_are_above_with_their_score(tmp_path, texts):
    a_run(tmp_path / "run", scores={"fid_mnist": 3.0} | COMPLETE_PROTOCOL)
    (status,) = tmp_path.glob("run/status.json")
    status.write_text(status.read_text().replace('"error": null', '"error": null, "real_data": {"fid_mnist": 0.51234}'))
    real, samples = (
        write_grid(tmp_path / "run" / "samples" / "real.png", seed=99),
        write_grid(tmp_path / "run/final.png"),
    )
    image = sheet_of(tmp_path)
    above, below = (find(image, part.repeat(2, axis=0).repeat(2, axis=1)) for part in (real, samples))
    assert above[0] < below[0] and "real data fid_mnist 0.512" in texts


@pytest.mark.parametrize("state", ["running", "stopped", "diverged", "failed", "refused"])
def test_a_run_that_is_not_finished_says_so_with_the_reason(tmp_path, texts, state):
    a_run(tmp_path / "0", "model=mlp")
    write_run(tmp_path / "1", "model=dcgan", state=state, error="no luck.", frames=0)
    sheet_of(tmp_path)
    note = next(text for text in texts if text.startswith(state.capitalize()) or text.startswith("Interrupted"))
    assert "no luck" in note


def test_a_run_whose_images_cannot_be_read_costs_its_cell_only(tmp_path, texts):
    first = a_run(tmp_path / "0", "model=mlp")
    a_run(tmp_path / "1", "model=dcgan")
    (tmp_path / "1" / "final.png").write_bytes(b"no image")
    (tmp_path / "private.png").write_bytes((tmp_path / "0" / "final.png").read_bytes())
    a_run(tmp_path / "2", "model=conv")
    (tmp_path / "2" / "final.png").unlink()
    (tmp_path / "2" / "final.png").symlink_to(tmp_path / "private.png")
    assert find(sheet_of(tmp_path), first.repeat(2, axis=0).repeat(2, axis=1)) is not None
    assert sum("final.png" in text for text in texts) == 2


@pytest.mark.parametrize("side", [8, 28, 32, 64, 100])
def test_small_images_are_enlarged_by_a_whole_number_and_large_ones_keep_their_shape(tmp_path, side):
    a_run(tmp_path / "run", side=side)
    (group,) = group_runs(find_runs([tmp_path]))
    samples, problem = sheet.read_samples(group, 4, 200)
    assert (
        not problem
        and {sample.width for sample in samples} == {sample.height for sample in samples}
        and len(samples) == 4
    )
    assert samples[0].width % side == 0 or side > contact_sheet.TILE


@pytest.mark.parametrize("size", [(500, 500), (700, 500), (700, 293)])
def test_figures_are_as_large_as_their_cell_and_keep_their_shape(tmp_path, size):
    a_run(tmp_path / "run")
    for path in (tmp_path / "run" / "final.png", tmp_path / "run" / "samples" / "real.png"):
        path.parent.mkdir(exist_ok=True)
        figure_of(size).save(path)
    runs = find_runs([tmp_path])
    (group,) = group_runs(runs)
    (sample,), _ = sheet.read_samples(group, 4, 394)
    (of_dataset,) = sheet.read_real_images(Report(runs, tmp_path))
    (real,) = of_dataset.tiles
    assert sample.width >= 390 and real.width >= 320
    for image in (sample, real):
        assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.01)


def figure_of(size):
    """An image that is no grid: white edges around noise."""
    figure = Image.new("RGB", size, "white")
    figure.paste(Image.effect_noise((size[0] - 40, size[1] - 40), 80), (20, 20))
    return figure


def matrix_of(groups, columns):
    rows = [groups[start : start + columns] for start in range(0, len(groups), columns)]
    return Matrix("", [f"row {number}" for number in range(len(rows))], [f"column {n}" for n in range(columns)], rows)


@pytest.mark.parametrize("count", [1, 4, 40, 200, 500])
@pytest.mark.parametrize("form", ["grid", "row", "column"])
def test_a_sheet_of_any_number_of_runs_can_be_looked_at(tmp_path, monkeypatch, count, form):
    write_run(tmp_path / "run")
    (group,) = group_runs(find_runs([tmp_path]))
    cell = [Image.new("RGB", (28, 28))]
    monkeypatch.setattr(sheet, "read_samples", lambda group, number, width: (cell * number, ""))
    columns = {"grid": min(10, round(count**0.5)), "row": count, "column": 1}[form]
    matrix = matrix_of([group] * count, columns)
    if form == "row":
        matrix = Matrix("", [""], matrix.column_labels, matrix.cells)
    image = draw_report_sheet("title", [matrix])
    assert image.width * image.height < 20e6 and 0.3 < image.width / image.height < 5


def test_no_more_than_a_limit_of_groups_are_drawn_and_the_title_says_so(tmp_path, texts):
    write_run(tmp_path / "run", frames=0)
    (group,) = group_runs(find_runs([tmp_path]))
    matrices = [matrix_of([group, None] * 75, 10), matrix_of([group] * 150, 10)]
    kept = first_cells(matrices, MAX_CELLS)
    assert sum(group is not None for matrix in kept for row in matrix.cells for group in row) == MAX_CELLS
    assert all(len(matrix.row_labels) == len(matrix.cells) for matrix in kept)
    draw_report_sheet("many", matrices)
    assert any("200 of 225" in text for text in texts) and "not run" in texts


def test_any_text_is_a_label_that_fits(tmp_path):
    for text in ("x" * 500, "漢字" * 50, "a b " * 300, "\x1b[31m", "", "$_{"):
        assert sheet.draw_text(text, 100).width == 100
    of_text = contact_sheet.font("DejaVuSans", 13)
    assert all(of_text.getlength(line) <= 100 for line in contact_sheet.wrap("W" * 500, of_text, 100))


def test_a_character_that_our_font_lacks_is_drawn_with_one_of_the_machine(monkeypatch):
    other = fonts.own_font("STIXGeneral")
    lacking = chr(min(fonts.characters_of(other) - fonts.characters_of(fonts.own_font("DejaVuSans"))))
    monkeypatch.setattr(fonts, "font_for", lambda text, name: other if lacking in text else fonts.own_font(name))
    assert contact_sheet.font("DejaVuSans", 13, lacking).path == str(other)
