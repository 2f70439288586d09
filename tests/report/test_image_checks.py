"""Checks of claims on images, on runs whose scores were chosen for a result that is known."""

import json

import pytest
from PIL import Image

from gan.metrics.catalogue import PROTOCOL
from gan.report.image_checks import beats, deteriorates, grids_differ, hardly_improves, improves, scores_within
from gan.report.measurements import MissingData
from gan.report.runs import RunFolder
from tests.report.conftest import write_claim_run

EARLY = {"from_epoch": 1, "until_epoch": 5}


def test_a_score_is_the_final_one_or_the_mean_of_some_epochs(tmp_path):
    run = write_claim_run(tmp_path, scores=[(1, 40.0), (5, 10.0), (6, 20.0), (10, 30.0)])
    assert scores_within(run, readers={"fid": {"at_most": 30}}).held
    assert not scores_within(run, readers={"fid": {"at_least": 30.1}}).held
    assert scores_within(run, readers={"fid": {"at_least": 15, "at_most": 15}}, epochs=(5, 6)).held
    assert scores_within(run, readers={"fid": {"at_most": 30}}, images=2000).held
    for metric, images in (("kl", None), ("fid", 2001), ("fid", 1999)):
        with pytest.raises(MissingData):
            scores_within(run, readers={metric: {}}, images=images)


@pytest.mark.parametrize(
    ("metric", "column"),
    [
        ("fid", "fid_mnist"),
        ("fid", "fid_digits"),
        ("fid", "fid"),  # of an older version
        ("coverage", "coverage_mnist"),
        ("classifier_score", "classifier_score_image_folder"),
        ("modes", "modes"),
        ("modes_in_100", "modes_in_100"),
        ("kl", "kl"),
        ("parzen", "parzen"),
        ("pixel_precision", "pixel_precision"),
    ],
)
def test_a_metric_is_found_in_the_column_of_the_run(tmp_path, metric, column):
    run = write_claim_run(tmp_path)
    others = {"density_mnist": 1.0, "parzen_error": 2.0, "parzen_width": 3.0, "step": 100, "generated": 9}
    row = dict.fromkeys(PROTOCOL, "x") | {"split": "test"} | others | {column: 30.0}
    (run.folder / "scores.jsonl").write_text(json.dumps(row) + "\n")
    result = scores_within(run, readers={metric: {"at_least": 30, "at_most": 30}})
    assert result.held and result.evidence == f"{column} 30"


def test_readers_decide_where_they_agree(tmp_path):
    run = write_claim_run(tmp_path, scores=[(10, {"coverage_mnist": 0.1, "pixel_precision": 0.7})])

    def read(coverage, pixels):
        return scores_within(run, readers={"coverage": {"at_least": coverage}, "pixel_precision": {"at_least": pixels}})

    assert read(0.1, 0.7).held and read(0.2, 0.8).held is False
    for thresholds in ((0.2, 0.7), (0.1, 0.8)):
        result = read(*thresholds)
        assert result.held is None
        assert result.evidence == "the readers disagree: coverage_mnist 0.1, pixel_precision 0.7"


def write_change(folder, early, late):
    """FID and pixel_precision after epochs 1 and 5, whose mean is `early`, and at the end."""
    columns = [{"fid_mnist": fid, "pixel_precision": pixels} for fid, pixels in (early, early, late)]
    columns[0]["fid_mnist"] *= 1.5
    columns[1]["fid_mnist"] *= 0.5
    return write_claim_run(folder, scores=list(zip((1, 5, 10), columns, strict=True)))


def test_images_improve_or_deteriorate_by_the_final_scores(tmp_path):
    by = {"fid": 0.25, "pixel_precision": 0.1}
    better = write_change(tmp_path / "a", (40.0, 0.5), (30.0, 0.625))
    result = improves(better, by=by, **EARLY)
    assert result.held and result.evidence == "fid_mnist 40 to 30, pixel_precision 0.5 to 0.625"
    assert hardly_improves(better, by=by, **EARLY).held is False
    assert improves(better, by={"fid": 0.26, "pixel_precision": 0.2}, **EARLY).held is False
    assert improves(better, by={"fid": 0.26, "pixel_precision": 0.1}, **EARLY).held is None
    assert hardly_improves(better, by={"fid": 0.26, "pixel_precision": 0.1}, **EARLY).held is None
    worse = write_change(tmp_path / "b", (40.0, 0.5), (60.0, 0.25))
    assert deteriorates(worse, by={"fid": 0.5, "pixel_precision": 0.25}, **EARLY).held
    assert deteriorates(worse, by={"fid": 0.51, "pixel_precision": 0.26}, **EARLY).held is False
    assert deteriorates(better, by=by, **EARLY).held is False
    with pytest.raises(MissingData, match="between epochs 2 and 4"):
        improves(better, by=by, from_epoch=2, until_epoch=4)


def test_a_reader_that_may_be_full_already_decides_only_by_contradiction(tmp_path):
    arguments = {"by": {"fid": 0.1}, "unless": {"pixel_precision": 0.0625}} | EARLY
    for number, (early, late, held) in enumerate(
        [
            ((40.0, 0.75), (30.0, 0.75), True),
            ((40.0, 0.75), (30.0, 0.6875), None),  # better to one, clearly worse to the other
            ((40.0, 0.75), (30.0, 0.6876), True),
            ((40.0, 0.75), (40.0, 0.8), False),
            ((40.0, 0.75), (40.0, 0.8125), None),
            ((40.0, 0.75), (40.0, 0.5), False),
        ]
    ):
        assert improves(write_change(tmp_path / str(number), early, late), **arguments).held is held, number


def test_a_run_beats_others_in_the_same_time_on_the_same_machine(tmp_path):
    ours = write_claim_run(tmp_path / "ours", scores=[(10, 5.0)], seconds=62.0)
    theirs = write_claim_run(tmp_path / "theirs", scores=[(10, 10.0)])
    best = write_claim_run(tmp_path / "best", scores=[(10, 4.0)])
    assert beats(ours, baselines=[theirs], by={"fid": 0.5}).held
    assert beats(ours, baselines=[theirs], by={"fid": 0.51}).held is False
    assert beats(ours, baselines=[theirs, best], by={"fid": 0.5}).held is False
    result = beats(ours, baselines=[theirs], by={"fid": 0.5}, slack=0.05)
    assert result.held and result.evidence == "fid_mnist 10 to 5, 1.0 to 1.0 minutes"
    assert beats(ours, baselines=[theirs], by={"fid": 0.5}, slack=0.03).held is False
    other_machine = write_claim_run(tmp_path / "machine", scores=[(10, 10.0)], machine="another box")
    other_protocol = write_claim_run(tmp_path / "protocol", scores=[(10, 10.0)], generated=500)
    assert beats(ours, baselines=[other_machine], by={"fid": 0.5}).held
    for other, reason in ((other_machine, "machine"), (other_protocol, "protocol")):
        with pytest.raises(MissingData, match=reason):
            beats(ours, baselines=[other], by={"fid": 0.5}, slack=0.05)


def test_grids_differ_by_the_standard_deviation_of_their_pixels(tmp_path):
    def grids(name, shift, count=10):
        run = write_claim_run(tmp_path / name)
        (run.folder / "samples").mkdir()
        for number in range(count):
            stripes = Image.new("L", (8, 8))
            for column in range(8):
                stripes.paste(200 * ((column + shift * number) // 4 % 2), (column, 0, column + 1, 8))
            stripes.save(run.folder / "samples" / f"step_{number:07d}.png")
        return run

    swapped = grids("a", 4)  # black and white change places: a difference of 200, where the deviation is 100
    assert grids_differ(swapped, by=2).held and not grids_differ(swapped, by=2.01).held
    same = grids_differ(grids("b", 0), by=0.01)
    assert not same.held and same.evidence == "successive grids differ by 0 standard deviations"
    with pytest.raises(MissingData, match="9 sample grids"):
        grids_differ(grids("c", 4, count=9), by=1)


def test_a_run_that_diverged_has_its_last_score(tmp_path):
    run = write_claim_run(tmp_path, scores=[(1, 40.0), (5, 10.0)], state="diverged")  # after epoch 10
    assert scores_within(run, readers={"fid": {"at_least": 10, "at_most": 10}}).held


def test_scores_of_another_protocol_or_without_the_end_do_not_decide(tmp_path):
    once = write_claim_run(tmp_path / "once", scores=[(10, 30.0)])
    stopped_scoring = write_claim_run(tmp_path / "stopped", scores=[(1, 40.0), (2, 30.0)])
    for run in (once, stopped_scoring):
        with pytest.raises(MissingData, match="both before the end and at the end"):
            deteriorates(run, by={"fid": 1}, **EARLY)
    with pytest.raises(MissingData, match="both before the end and at the end"):
        hardly_improves(stopped_scoring, by={"fid": 0.1}, **EARLY)
    early = write_claim_run(tmp_path / "early", scores=[(9, 30.0)])
    with pytest.raises(MissingData, match=r"at the end: python -m gan\.evaluate"):
        scores_within(early, readers={"fid": {}})
    with (early.folder / "scores.jsonl").open("a") as file:  # with fewer images than every score before
        row = dict.fromkeys(PROTOCOL, "x") | {"split": "test", "generated": 9, "step": 100, "fid_mnist": 60.0}
        file.write(json.dumps(row) + "\n")
    with pytest.raises(MissingData, match="both before"):
        deteriorates(RunFolder(early.folder), by={"fid": 1}, **EARLY)
