"""Checks of claims, on runs whose numbers were chosen for a result that is known."""

import json

import pytest

from gan.metrics.catalogue import PROTOCOL
from gan.report import checks
from gan.report.measurements import MissingData
from gan.report.runs import RunFolder
from tests.report.conftest import write_claim_run

LOSSES = ["discriminator/loss", "generator/loss"]


def test_a_level_number_is_near_the_median_and_without_a_trend(tmp_path):
    rows = [(1, 9.0, 1.0, 0.5, 0.5), (2, 1.0, 1.0, 0.5, 0.5), (3, 1.2, 1.0, 0.5, 0.5), (4, 1.1, 1.0, 0.5, 0.5)]
    run = write_claim_run(tmp_path / "a", rows=rows)
    assert checks.stays_level(run, names=LOSSES, from_epoch=2, until_epoch=4, within=0.1).held  # 1.2 is 9.1 % above 1.1
    assert not checks.stays_level(run, names=LOSSES, from_epoch=2, until_epoch=4, within=0.09).held
    assert not checks.stays_level(run, names=LOSSES, from_epoch=1, until_epoch=4, within=0.1).held
    with pytest.raises(MissingData, match="between epochs 5 and 9"):
        checks.stays_level(run, names=LOSSES, from_epoch=5, until_epoch=9, within=0.1)
    rising = write_claim_run(tmp_path / "b", rows=[(epoch, 1, 0.8 + 0.1 * epoch, 0.5, 0.5) for epoch in range(5)])
    arguments = {"names": ["generator/loss"], "from_epoch": 0, "until_epoch": 5}  # from 0.8 to 1.2
    assert checks.stays_level(rising, within=0.41, **arguments).held
    assert not checks.stays_level(rising, within=0.39, **arguments).held
    zero = write_claim_run(tmp_path / "c", rows=[(epoch, 0.0, 1, 0.5, 0.5) for epoch in range(3)])
    assert checks.stays_level(zero, names=LOSSES, from_epoch=0, until_epoch=3, within=0.1).held


def test_a_level_number_may_move_by_a_hundredth_but_must_be_near_its_target(tmp_path):
    rows = [(0, 2e-5, 1, 0.5, 0.5), (1, 3e-6, 1, 0.5, 0.5), (2, 1e-6, 1, 0.5, 0.5)]
    won = write_claim_run(tmp_path / "a", rows=rows)
    assert checks.stays_level(won, names=LOSSES, from_epoch=0, until_epoch=3, within=0.1).held
    assert not checks.stays_level(won, names=LOSSES[:1], from_epoch=0, until_epoch=3, within=0.1, at=0.6931).held
    rows = [(2, 1.0, 1.0, 0.5, 0.5), (3, 1.2, 1.0, 0.5, 0.5), (4, 1.1, 1.0, 0.5, 0.5)]
    run = write_claim_run(tmp_path / "b", rows=rows)
    assert checks.stays_level(run, names=LOSSES[:1], from_epoch=2, until_epoch=4, within=0.2, at=1.0).held  # 1.2
    assert not checks.stays_level(run, names=LOSSES[:1], from_epoch=2, until_epoch=4, within=0.19, at=1.0).held
    rows = [(0, 0.05, 1, 0.5, 0.5), (1, 0.02, 1, 0.5, 0.5), (2, 0.01, 1, 0.5, 0.5)]
    falling = write_claim_run(tmp_path / "c", rows=rows)
    assert not checks.stays_level(falling, names=LOSSES, from_epoch=0, until_epoch=3, within=0.1).held


def test_a_trend_is_seen_in_the_means_of_the_first_and_last_tenth(tmp_path):
    rows = [(epoch, 2.0 if epoch <= 2 else 1.0, 1.0 + epoch, 0.5, 0.5) for epoch in range(1, 21)]
    run = write_claim_run(tmp_path, rows=rows)
    assert not checks.does_not_fall(run, names=LOSSES, by=0.5).held  # from 2 to 1
    assert checks.does_not_fall(run, names=LOSSES, by=0.51).held
    rose = checks.rises(run, name="generator/loss", after_epoch=3, times=20.5 / 3)  # 2, 3, 4, and finally 20, 21
    assert rose.held and "3 until epoch 3, 20.5" in rose.evidence
    assert not checks.rises(run, name="generator/loss", after_epoch=3, times=7).held


def test_an_order_holds_in_a_fraction_of_the_rows(tmp_path):
    rows = [(1, 1, 1, 0.4, 0.3), (2, 1, 1, 0.6, 0.4), (3, 1, 1, 0.7, 0.2)]
    run = write_claim_run(tmp_path, rows=rows)
    order = ["discriminator/real", 0.5, "discriminator/fake"]
    assert checks.keeps_order(run, greatest_first=order, fraction=2 / 3).held
    result = checks.keeps_order(run, greatest_first=order, fraction=0.67)
    assert not result.held and "2 of 3 logged rows" in result.evidence
    assert "discriminator/real from 0.4 to 0.7" in result.evidence


def test_the_discriminator_wins_until_the_end_or_not_at_all(tmp_path):
    def train(name, *confident):
        rows = [(epoch, 1, 1, *((0.95, 0.05) if epoch in confident else (0.9, 0.4))) for epoch in range(1, 21)]
        return write_claim_run(tmp_path / name, rows=rows)

    won = train("won", 2, *range(8, 13), *range(14, 21))  # 12 of the 13 rows from epoch 8 on
    assert checks.discriminator_wins(won, from_epoch=8, until_epoch=8).held
    assert not checks.discriminator_does_not_win(won).held
    assert not checks.discriminator_wins(won, from_epoch=2, until_epoch=7).held  # a lead at epoch 2 was lost again
    lost = train("lost", *range(1, 20))  # but not in one of the last two
    assert checks.discriminator_does_not_win(lost).held
    assert not checks.discriminator_wins(lost, from_epoch=0, until_epoch=20).held


def test_a_run_diverges_late_enough_or_does_not(tmp_path):
    at_20 = write_claim_run(tmp_path / "a", state="diverged", steps=20, error="NaN at step 20.")
    assert checks.diverges(at_20, from_step=20).held and not checks.diverges(at_20, from_step=21).held
    finished = checks.diverges(write_claim_run(tmp_path / "b", rows=[(10, 1.5, 2.5, 0.5, 0.5)]), from_step=20)
    assert not finished.held and "100 steps (discriminator/loss 1.5, generator/loss 2.5 in" in finished.evidence


def test_a_gradient_vanishes_where_the_discriminator_wins(tmp_path):
    def falling(name, least, real):
        rows = [(epoch, 1, 8.0 if epoch < 19 else least, real, 0.01) for epoch in range(1, 21)]
        return write_claim_run(tmp_path / name, rows=rows)

    arguments = {"name": "generator/loss", "until_epoch": 20}
    result = checks.vanishes(falling("a", 0.5, 0.95), below=0.07, **arguments)
    assert result.held and "from 8 to 0.5 at epoch 20, where D wins" in result.evidence
    assert not checks.vanishes(falling("b", 0.5, 0.95), below=0.06, **arguments).held
    assert not checks.vanishes(falling("c", 0.5, 0.6), below=0.07, **arguments).held  # it fell, but D did not win
    once = write_claim_run(tmp_path / "d", rows=[(e, 1, 0.01 if e == 20 else 8.0, 0.95, 0.01) for e in range(1, 21)])
    assert not checks.vanishes(once, below=0.07, **arguments).held


def test_a_score_is_the_final_one_or_the_mean_of_some_epochs(tmp_path):
    run = write_claim_run(tmp_path, scores=[(1, 40.0), (5, 10.0), (6, 20.0), (10, 30.0)])
    assert checks.score_within(run, metric="fid", at_most=30).held
    assert not checks.score_within(run, metric="fid", at_least=30.1).held
    assert checks.score_within(run, metric="fid", at_least=15, at_most=15, epochs=(5, 6)).held
    assert checks.score_within(run, metric="fid", at_most=30, images=2000).held
    for missing in (
        lambda: checks.score_within(run, metric="kl"),
        lambda: checks.score_within(run, metric="fid", images=2001),
        lambda: checks.score_within(run, metric="fid", images=1999),
    ):
        with pytest.raises(MissingData):
            missing()


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
    ],
)
def test_a_metric_is_found_in_the_column_of_the_run(tmp_path, metric, column):
    run = write_claim_run(tmp_path)
    others = {"density_mnist": 1.0, "parzen_error": 2.0, "parzen_width": 3.0, "step": 100, "generated": 9}
    row = dict.fromkeys(PROTOCOL, "x") | {"split": "test"} | others | {column: 30.0}
    (run.folder / "scores.jsonl").write_text(json.dumps(row) + "\n")
    result = checks.score_within(run, metric=metric, at_least=30, at_most=30)
    assert result.held and result.evidence == f"{column} 30 at the end"


def test_images_hardly_improve_or_deteriorate_by_the_final_fid(tmp_path):
    run = write_claim_run(tmp_path, scores=[(1, 40.0), (5, 10.0), (6, 20.0), (10, 30.0)])
    improved = checks.hardly_improves(run, from_epoch=1, until_epoch=5, by=0.26)
    assert improved.held and improved.evidence == "fid_mnist 40 at epoch 1 and 30 at epoch 10"
    assert not checks.hardly_improves(run, from_epoch=1, until_epoch=5, by=0.25).held  # 30 is a quarter below 40
    assert checks.deteriorates(run, times=3).held and not checks.deteriorates(run, times=3.1).held
    with pytest.raises(MissingData):
        checks.hardly_improves(run, from_epoch=2, until_epoch=4, by=0.1)


def test_a_run_beats_another_in_the_same_time_on_the_same_machine(tmp_path):
    ours = write_claim_run(tmp_path / "ours", scores=[(10, 5.0)], seconds=62.0)
    theirs = write_claim_run(tmp_path / "theirs", scores=[(10, 10.0)])
    assert checks.beats(ours, baseline=theirs, by=0.5, slack=0.05).held
    assert not checks.beats(ours, baseline=theirs, by=0.51, slack=0.05).held
    assert not checks.beats(ours, baseline=theirs, by=0.5, slack=0.03).held
    other_machine = write_claim_run(tmp_path / "machine", scores=[(10, 10.0)], machine="another box")
    other_protocol = write_claim_run(tmp_path / "protocol", scores=[(10, 10.0)], generated=500)
    for other, reason in ((other_machine, "machine"), (other_protocol, "protocol")):
        with pytest.raises(MissingData, match=reason):
            checks.beats(ours, baseline=other, by=0.5, slack=0.05)


def test_scores_of_another_protocol_or_without_the_end_do_not_decide(tmp_path):
    once = write_claim_run(tmp_path / "once", scores=[(10, 30.0)])
    stopped_scoring = write_claim_run(tmp_path / "stopped", scores=[(1, 40.0), (2, 30.0)])
    for run in (once, stopped_scoring):
        with pytest.raises(MissingData, match="both before the end and at the end"):
            checks.deteriorates(run, times=2)
    with pytest.raises(MissingData, match="both before the end and at the end"):
        checks.hardly_improves(stopped_scoring, from_epoch=1, until_epoch=2, by=0.1)
    early = write_claim_run(tmp_path / "early", scores=[(9, 30.0)])
    with pytest.raises(MissingData, match=r"at the end: python -m gan\.evaluate"):
        checks.score_within(early, metric="fid")
    with (early.folder / "scores.jsonl").open("a") as file:  # with fewer images than every score before
        row = dict.fromkeys(PROTOCOL, "x") | {"split": "test", "generated": 9, "step": 100, "fid_mnist": 60.0}
        file.write(json.dumps(row) + "\n")
    with pytest.raises(MissingData, match="both before"):
        checks.deteriorates(RunFolder(early.folder), times=2)
