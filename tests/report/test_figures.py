"""The figures of a report, as PDF and SVG: what is drawn of which groups, and that the same runs give the same files."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from gan.config.errors import ConfigError
from gan.report.figures import COLORS, MAX_GROUPS, choose_groups, write_figures
from gan.report.groups import group_runs
from gan.report.runs import find_runs
from tests.report.conftest import COMPLETE_PROTOCOL, write_rows, write_run

NAMES = ["losses.pdf", "losses.svg", "predictions.pdf", "predictions.svg", "scores.pdf", "scores.svg"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, each once for every format."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **keys: (found.append(self), save(self, *args, **keys)))
    return found


def a_run(folder, *overrides, losses=(1.0, 0.5, 0.25), fids=(), state="finished", real=None, generated=2000):
    """A run with losses, as many predictions, and scores during training."""
    scores = {"fid_mnist": fids[-1]} | COMPLETE_PROTOCOL | {"generated": generated} if fids else {}
    write_run(folder, *overrides, losses=losses, state=state, frames=1, scores=scores)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    write_rows(folder / "metrics.jsonl", [row | {"discriminator/real": 1.0, "discriminator/fake": 0.0} for row in rows])
    protocol = COMPLETE_PROTOCOL | {"generated": generated}
    write_rows(
        folder / "scores.jsonl", [{"step": 10 * i, "fid_mnist": fid} | protocol for i, fid in enumerate(fids, 1)]
    )
    if real is not None:
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps(status | {"real_data": {"fid_mnist": real} | protocol}))


def figures_of(folder, out=None):
    return write_figures(group_runs(find_runs([folder])), out or folder)


def curves_of(axis):
    """The points of the lines in an axis that have a color of a group, and no mark of a run that diverged."""
    lines = [line for line in axis.lines if line.get_color() in COLORS and line.get_marker() != "x"]
    return [line.get_xydata().tolist() for line in lines]


@pytest.mark.slow
def test_the_same_runs_give_the_same_files_without_a_date(tmp_path):
    for seed in (0, 1):
        a_run(tmp_path / "runs" / str(seed), f"seed={seed}", fids=(9.0, 5.0, 4.0 + seed))
    paths = figures_of(tmp_path / "runs", tmp_path / "a")
    assert [path.name for path in paths] == NAMES and all(path.parent == tmp_path / "a" / "figures" for path in paths)
    again = figures_of(tmp_path / "runs", tmp_path / "b")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert not any(word in path.read_bytes() for path in paths for word in (b"CreationDate", b"dc:date"))


def test_the_text_stays_text(tmp_path):
    a_run(tmp_path / "0", "model=dcgan")
    a_run(tmp_path / "1", "model=mlp")
    pdf, svg, *others = figures_of(tmp_path)
    assert [path.name for path in (pdf, svg, *others)] == NAMES[:4]  # no scores
    assert b"/Subtype /Type0" in pdf.read_bytes() and b"/Type3" not in pdf.read_bytes()  # TrueType, fonttype 42
    texts = [element.text for element in ElementTree.parse(svg).iter() if element.tag.endswith("text")]
    assert {"dcgan", "mlp", "loss of D", "step"} <= set(texts)


def test_a_curve_is_the_mean_over_seeds_with_a_band(tmp_path, drawn):
    a_run(tmp_path / "0", "seed=0", losses=(1.0, 0.5))
    a_run(tmp_path / "1", "seed=1", losses=(3.0, 0.5))
    figures_of(tmp_path)
    axis = drawn[0].axes[0]
    assert curves_of(axis) == [[[10.0, 2.0], [20.0, 0.5]]]
    (band,) = axis.collections
    points = band.get_paths()[0].vertices
    assert points[:, 1].min() == pytest.approx(0.5) and points[:, 1].max() == pytest.approx(2 + 2**0.5)


def test_a_run_that_diverged_has_a_curve_of_its_own_that_ends_with_a_mark(tmp_path, drawn):
    a_run(tmp_path / "0", "seed=0", losses=(1.0, 0.5))
    a_run(tmp_path / "1", "seed=1", losses=(3.0, float("nan")), state="diverged")
    figures_of(tmp_path)
    axis = drawn[0].axes[0]
    mean, own = curves_of(axis)
    assert mean == [[10.0, 1.0], [20.0, 0.5]] and own[0] == [10.0, 3.0] and np.isnan(own[1][1])
    (mark,) = [line for line in axis.lines if line.get_marker() == "x"]
    assert mark.get_xydata().tolist() == [[10.0, 3.0]] and len(drawn[0].legends[0].get_texts()) == 1


@pytest.mark.parametrize("losses", [(0.5,), (1.0, 5e4), (-1e299, 1e299), (0.7,) * 3])
def test_no_point_is_outside_its_axes_and_no_curve_below_the_legend(tmp_path, drawn, losses):
    a_run(tmp_path / "0", "seed=0", losses=losses)
    a_run(tmp_path / "1", "seed=1", losses=losses)
    figures_of(tmp_path)
    for figure in drawn:
        (legend,) = figure.legends
        for axis in figure.axes:
            for (low, high), values in zip(
                (axis.get_xlim(), axis.get_ylim()), np.array(curves_of(axis))[0].T, strict=True
            ):
                assert low < values.min() and values.max() < high
            assert not legend.get_window_extent().overlaps(axis.get_window_extent())


def test_a_single_point_has_a_mark(tmp_path, drawn):
    a_run(tmp_path / "0", losses=(0.5,), fids=(3.0,))
    figures_of(tmp_path)
    lines = [line for figure in drawn for axis in figure.axes for line in axis.lines if line.get_color() in COLORS]
    assert lines and all(line.get_marker() == "o" for line in lines)


def test_of_many_groups_the_best_ones_are_drawn(tmp_path):
    for number in range(MAX_GROUPS + 3):
        fids = () if number == 0 else (50.0 - number,)
        a_run(tmp_path / str(number), f"train.batch_size={number}", fids=fids)
    shown, title = choose_groups(group_runs(find_runs([tmp_path])))
    assert [group.settings["train.batch_size"] for group in shown] == [str(number) for number in range(12, 2, -1)]
    assert "10 of 13" in title and "fid_mnist" in title


def test_of_many_groups_without_scores_the_first_ones_are_drawn(tmp_path):
    for number in range(MAX_GROUPS + 1):
        a_run(tmp_path / str(number), f"train.batch_size={number}")
    groups = group_runs(find_runs([tmp_path]))
    assert choose_groups(groups)[0] == groups[:MAX_GROUPS] and "10 of 11" in choose_groups(groups)[1]
    assert choose_groups(groups[1:]) == (groups[1:], "")


def test_scores_of_one_protocol_are_drawn_beside_its_baseline(tmp_path, drawn):
    a_run(tmp_path / "0", "model=dcgan", fids=(9.0, 8.0, 7.0), real=0.5)
    a_run(tmp_path / "1", "model=mlp", fids=(6.0, 5.0), real=0.25, generated=10_000)
    figures_of(tmp_path)
    (axis,) = drawn[-1].axes
    assert curves_of(axis) == [[[10.0, 9.0], [20.0, 8.0], [30.0, 7.0]]]
    (baseline,) = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert set(baseline.get_ydata()) == {0.5} and axis.get_ylim()[0] < 0.5


def test_nothing_is_drawn_of_runs_that_logged_nothing(tmp_path):
    write_run(tmp_path / "0", "model=mlp", losses=(), state="refused", frames=0)
    write_run(tmp_path / "1", "model=dcgan", losses=(), frames=0)
    (tmp_path / "1" / "metrics.jsonl").write_bytes(b"\xff")
    assert figures_of(tmp_path) == [] and not (tmp_path / "figures").exists()


def test_a_link_out_of_the_report_is_not_followed(tmp_path):
    a_run(tmp_path / "run")
    (tmp_path / "private").mkdir()
    (tmp_path / "run" / "figures").symlink_to(tmp_path / "private")
    with pytest.raises(ConfigError):
        figures_of(tmp_path / "run")
    assert not list((tmp_path / "private").iterdir())
