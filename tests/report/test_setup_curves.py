"""Curves of a published set-up: which panels and lines there are, and where."""

import io
import json
import math

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from gan.report.claim_files import Curves
from gan.report.setup_curves import COLUMNS, curve_points, draw_curves, plot_curves
from tests.report.conftest import write_claim_run

PLAN = Curves(panels=[["discriminator/loss", "generator/loss"]], added=[["discriminator/real", "discriminator/fake"]])


def write_run(folder, epochs, d_loss=1.2):
    return write_claim_run(folder, rows=[(epoch, d_loss, 0.8, 0.6, 0.4) for epoch in range(1, epochs + 1)])


@pytest.mark.parametrize("count", [1, 2, 6])
def test_each_seed_has_the_authors_panels_below_its_title(tmp_path, count):
    runs = {f"seed {seed}": write_run(tmp_path / str(seed), 3 + seed, 1.2 + seed) for seed in range(count)}
    figure = plot_curves(PLAN, runs)
    drawn = [axis for axis in figure.axes if axis.axison]
    assert len(drawn) == 2 * count
    titled = [axis for axis in drawn if axis.get_title()]
    assert [axis.get_title() for axis in titled] == list(runs)
    for seed, axis in enumerate(titled):
        losses, last = dict(zip(("D's loss", "G's loss"), axis.lines, strict=True)), 3 + seed
        assert [line.get_label() for line in axis.lines] == list(losses)
        assert list(losses["D's loss"].get_xdata()) == [*range(1, last + 1)]
        assert list(losses["D's loss"].get_ydata()) == [1.2 + seed] * last
        (below,) = (
            other for other in drawn
            if other not in titled and other.get_subplotspec().colspan == axis.get_subplotspec().colspan
            and other.get_subplotspec().rowspan.start == axis.get_subplotspec().rowspan.start + 1
        )  # fmt: skip
        assert [list(line.get_ydata()) for line in below.lines] == [[0.6] * last, [0.4] * last]
    assert figure.axes[0].get_gridspec().ncols == min(count, COLUMNS)


def test_the_legend_is_outside_of_the_curves(tmp_path):
    figure = plot_curves(PLAN, {"seed 0": write_run(tmp_path, 3)})
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["D's loss", "G's loss", "D(x)", "D(G(z)) in D's step"]
    box = legend.get_window_extent()
    assert not any(axis.get_legend() or axis.get_tightbbox().overlaps(box) for axis in figure.axes)


def test_over_epochs_the_last_row_of_each_is_drawn_and_over_steps_every_row(tmp_path):
    run = write_claim_run(tmp_path)
    rows = [(50, 0.5, 1.0), (100, 1.0, 2.0), (150, 1.5, None), (200, 2.0001, 4.0), (210, 2.1, 1e300), (220, 2.2, 5.0)]
    names = "step", "epoch", "generator/loss"
    (tmp_path / "metrics.jsonl").write_text(
        "".join(f"{json.dumps(dict(zip(names, row, strict=True)))}\n" for row in rows)
    )
    assert curve_points(run, "generator/loss", "epoch") == [(1.0, 2.0), (2.0001, 4.0), (2.2, 5.0)]
    steps = curve_points(run, "generator/loss", "step")
    assert [step for step, _ in steps] == [50, 100, 150, 200, 210, 220]
    assert [math.isnan(value) for _, value in steps] == [False, False, True, False, True, False]
    assert curve_points(run, "discriminator/loss", "step") == []


def test_runs_that_logged_nothing_have_no_figure_and_one_that_did_has_a_small_one(tmp_path):
    empty, logged = write_claim_run(tmp_path / "0"), write_run(tmp_path / "1", 1)
    assert draw_curves(PLAN, {"seed 0": empty}) is None
    content = draw_curves(PLAN, {"seed 0": empty, "seed 1, diverged at epoch 1": logged})
    assert content and len(content) < 100_000
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG" and image.width == 900


def test_curves_at_zero_and_of_one_point_can_be_seen(tmp_path):
    figure = plot_curves(PLAN, {"seed 0": write_run(tmp_path / "0", 1), "seed 1": write_run(tmp_path / "1", 50, 0.0)})
    one, zero = figure.axes[:2]
    assert all(line.get_marker() == "." for line in one.lines)
    low, high = zero.get_ylim()
    assert low < 0 < 0.8 < high < 1
