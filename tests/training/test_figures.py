"""The figures of a run."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gan.metrics.catalogue import PROTOCOL
from gan.system import files, status
from gan.training import figures

RECORD = dict.fromkeys(PROTOCOL, "x") | {"generated": 200}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, in this order."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **kwargs: (found.append(self), save(self, *args, **kwargs))
    )
    return found


def write_rows(folder, count=30, losses=None, predictions=(0.9, 0.1)):
    """A metrics.jsonl; `losses` are those of G."""
    rows = [
        {"step": step, "epoch": step / 10, "discriminator/loss": 1.0, "discriminator/loss_real": 0.6}
        | {"discriminator/loss_fake": 0.4, "generator/loss": losses[step - 1] if losses else 0.7}
        | dict(zip(("discriminator/real", "discriminator/fake"), predictions, strict=True))
        for step in range(1, count + 1)
    ]
    files.write_rows(folder / "metrics.jsonl", rows)


def points_of(axis):
    """The points of the curves in an axis, and of none that spans it."""
    return np.concatenate([line.get_xydata() for line in axis.lines if line.get_transform() == axis.transData])


@pytest.mark.parametrize("undecided", [0.5, 0.2, None])
def test_the_predictions_have_a_line_where_an_undecided_discriminator_would_be(tmp_path, drawn, undecided):
    write_rows(tmp_path)
    figures.plot_figures(tmp_path, undecided)
    levels = [
        line.get_ydata()[0] for line in drawn[-1].axes[0].lines if line.get_transform() != drawn[-1].axes[0].transData
    ]
    assert levels == ([] if undecided is None else [undecided])


def test_no_legend_covers_a_curve(tmp_path, drawn):
    write_rows(tmp_path)
    figures.plot_figures(tmp_path, 0.5)
    assert len(drawn) == 2
    for figure in drawn:
        legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes if axis.get_legend())]
        for legend in legends:
            assert not any(legend.get_window_extent().overlaps(axis.get_window_extent()) for axis in figure.axes)
            assert figure.bbox.containsx(legend.get_window_extent().x1) and legend.get_window_extent().y0 >= 0


@pytest.mark.parametrize("losses", [[0.7] * 30, [0.7] * 29 + [5e4], [-3.0, *[0.7] * 29], [1e200] * 30])
def test_every_point_is_inside_its_axes(tmp_path, drawn, losses):
    write_rows(tmp_path, losses=losses, predictions=(1.0, 0.0))
    figures.plot_figures(tmp_path, 0.5)
    for axis in [axis for figure in drawn for axis in figure.axes]:
        for (left, right), values in zip((axis.get_xlim(), axis.get_ylim()), points_of(axis).T, strict=True):
            assert left < values.min() and values.max() < right


@pytest.mark.parametrize("gaps", ["x", "0x0x0" * 8, "x" * 25 + "0x"], ids=["one", "alone", "last"])
def test_a_point_without_neighbors_has_a_mark(tmp_path, drawn, gaps):
    write_rows(tmp_path, len(gaps), [None if gap == "0" else 0.7 for gap in gaps])
    figures.plot_figures(tmp_path, None)
    marked = set()
    for line in drawn[0].axes[1].lines:
        indices = (
            np.arange(len(gaps))[line.get_markevery() or slice(None)] if line.get_marker() not in ("None", "") else []
        )
        marked |= {index for index in indices if np.isfinite(line.get_ydata()[index])}
    alone = {
        i for i, gap in enumerate(gaps) if gap == "x" and "x" not in (gaps[max(0, i - 1) : i] + gaps[i + 1 : i + 2])
    }
    assert alone and alone <= marked


def write_scores(folder, *rows, real_data=None):
    """A scores.jsonl with (step, FID, number of images), and the baseline in status.json."""
    scores = [{"step": step, "fid_mnist": fid} | RECORD | {"generated": generated} for step, fid, generated in rows]
    files.write_rows(folder / "scores.jsonl", scores)
    (folder / "status.json").write_text(json.dumps(status.INITIAL | {"real_data": real_data or {}}))


def test_two_scores_make_a_curve_beside_the_real_data_baseline(tmp_path, drawn):
    write_rows(tmp_path)
    write_scores(tmp_path, (10, 9.0, 100), (20, 8.0, 200), (30, 4.0, 200), real_data={"fid_mnist": 0.5} | RECORD)
    figures.plot_figures(tmp_path, 0.5)
    (axis,) = drawn[-1].axes
    assert points_of(axis).tolist() == [[20, 8.0], [30, 4.0]]  # by one protocol
    (baseline,) = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert set(baseline.get_ydata()) == {0.5} and axis.get_ylim()[0] < 0.5
    Image.open(tmp_path / "figures" / "scores.png").load()


@pytest.mark.parametrize("other", [{"generated": 10_000}, {"fid_mnist": "x"}])
def test_a_baseline_by_another_protocol_or_none_is_not_drawn(tmp_path, drawn, other):
    write_rows(tmp_path)
    other = {"fid_mnist": 0.5} | RECORD | other
    write_scores(tmp_path, (20, 8.0, 200), (30, 4.0, 200), real_data=other)
    figures.plot_figures(tmp_path, 0.5)
    assert len(drawn[-1].axes[0].lines) == 1


@pytest.mark.parametrize("rows", [[], [(10, 4.0, 200)], [(10, 4.0, 100), (20, 4.0, 200)]])
def test_a_single_score_makes_no_curve_and_removes_that_of_later_steps(tmp_path, rows):
    write_rows(tmp_path)
    write_scores(tmp_path, (20, 8.0, 200), (30, 4.0, 200))
    figures.plot_figures(tmp_path, 0.5)
    assert (tmp_path / "figures" / "scores.png").exists()
    write_scores(tmp_path, *rows)
    figures.plot_figures(tmp_path, 0.5)
    assert not (tmp_path / "figures" / "scores.png").exists()
