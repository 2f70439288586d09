"""Curves of a page: which panels there are, and the points of a run."""

from gan.report import curves
from gan.report.contents import Report
from gan.report.runs import find_runs
from tests.report.conftest import COMPLETE_PROTOCOL, write_rows, write_run


def write_scored(folder, fids, **status):
    write_run(
        folder, f"seed={folder.name}", losses=(1.0, 2.0), scores=COMPLETE_PROTOCOL | {"fid_mnist": fids[-1]}, **status
    )
    rows = [COMPLETE_PROTOCOL | {"step": 10 * step, "fid_mnist": fid} for step, fid in enumerate(fids, 1)]
    write_rows(folder / "scores.jsonl", rows)


def test_the_score_that_decides_comes_first_and_then_the_losses(tmp_path):
    write_scored(tmp_path / "0", [3.0, 2.0])
    panels = curves.list_panels(Report(find_runs([tmp_path]), tmp_path))
    assert [panel.name for panel in panels] == ["fid_mnist", "discriminator/loss", "generator/loss"]
    assert all(panel.is_main for panel in panels)


def test_a_number_without_a_title_of_ours_has_a_panel_too(tmp_path):
    write_run(tmp_path / "0")
    write_rows(
        tmp_path / "0" / "metrics.jsonl",
        [{"step": 1, "epoch": 0.1, "seconds": 1, "penalty": 2.0, "generator/loss": 1.0}],
    )
    panels = curves.list_panels(Report(find_runs([tmp_path]), tmp_path))
    assert [(panel.title, panel.is_main) for panel in panels] == [("G's loss", True), ("penalty", False)]


def test_the_points_of_a_run_are_rounded_and_what_is_not_finite_is_missing(tmp_path):
    write_scored(tmp_path / "0", [1 / 3, 0.2])
    rows = [
        {"step": 10 * n, "epoch": n, "seconds": n / 3, "generator/loss": loss}
        for n, loss in enumerate([1 / 3, None, float("nan"), 2], 1)
    ]
    write_rows(tmp_path / "0" / "metrics.jsonl", rows)
    report = Report(find_runs([tmp_path]), tmp_path)
    points = curves.run_curves(report.runs[0], curves.list_panels(report), 1)
    assert points["logged"] == {"generator/loss": [0.3333, None, None, 2]}
    assert points["rows"]["step"] == [10, 20, 30, 40] and points["rows"]["seconds"][0] == 0.333333
    assert points["scored"] == {"fid_mnist": [(10, 20), (0.3333, 0.2)]}


def test_many_runs_share_the_numbers_of_a_page(tmp_path):
    write_run(tmp_path / "0", losses=[1.0] * 200)
    report = Report(find_runs([tmp_path]), tmp_path)
    panels = curves.list_panels(report)
    lengths = [len(curves.run_curves(report.runs[0], panels, count)["rows"]["step"]) for count in (1, 1000, 10**6)]
    assert lengths == [200, curves.MAX_NUMBERS // (1000 * 5), 20]
