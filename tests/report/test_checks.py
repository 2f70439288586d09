"""Checks of claims, on runs whose numbers were chosen for a result that is known."""

import pytest

from gan.report import checks
from gan.report.measurements import MissingData
from tests.report.conftest import write_claim_run

LOSSES = ["discriminator/loss", "generator/loss"]


def test_two_losses_are_on_a_par_where_neither_is_far_from_the_other(tmp_path):
    rows = [(epoch, 1.4 if epoch < 10 else 2.2, 0.7, 0.5, 0.5) for epoch in range(1, 11)]  # twice, then three times
    run = write_claim_run(tmp_path / "a", rows=rows)
    span = {"names": LOSSES, "from_epoch": 1, "until_epoch": 10}
    result = checks.are_on_par(run, times=2, **span)
    assert result.held and result.evidence == "medians 1.4 and 0.7, on a par in 9 of 10 rows"
    assert not checks.are_on_par(run, times=1.9, **span).held
    assert checks.are_on_par(run, times=2, **span | {"names": LOSSES[::-1]}).held
    dead = write_claim_run(tmp_path / "b", rows=[(epoch, 0.0, 0.0, 1, 0) for epoch in range(1, 11)])
    assert not checks.are_on_par(dead, times=2, **span).held
    with pytest.raises(MissingData, match="between epochs 11 and 20"):
        checks.are_on_par(run, names=LOSSES, from_epoch=11, until_epoch=20, times=2)


def test_a_number_stays_near_its_target_in_every_row(tmp_path):
    run = write_claim_run(tmp_path, rows=[(0, 9.0, 1, 0.5, 0.5), (1, 1.0, 1, 0.5, 0.5), (2, 1.25, 1, 0.5, 0.5)])
    arguments = {"name": "discriminator/loss", "at": 1.0, "until_epoch": 2}
    assert checks.stays_near(run, within=0.25, from_epoch=1, **arguments).held
    assert not checks.stays_near(run, within=0.24, from_epoch=1, **arguments).held
    assert not checks.stays_near(run, within=0.25, from_epoch=0, **arguments).held


def test_a_change_is_visible_above_the_noise_of_the_curve(tmp_path):
    def curve(name, *levels, noise=0.1):
        rows = [(e, 5.0 if e <= 6 else levels[(e - 7) // 6] + noise * (-1) ** e, 1, 0.5, 0.5) for e in range(1, 25)]
        return write_claim_run(tmp_path / name, rows=rows)  # a start, and three parts of six epochs

    names, after = ["discriminator/loss"], {"after_epoch": 7}
    fell, rose = curve("fell", 1.21, 1.0, 1.0), curve("rose", 1.0, 1.0, 1.21)
    result = checks.does_not_fall(fell, names=names, **after)
    assert not result.held and result.evidence == "discriminator/loss 1.21 to 1 ± 0.1"
    assert checks.does_not_fall(rose, names=names, **after).held
    assert not checks.hardly_changes(fell, names=names, **after).held
    assert not checks.hardly_changes(rose, names=names, **after).held
    hidden = curve("hidden", 1.19, 1.0, 1.0)
    assert checks.does_not_fall(hidden, names=names, **after).held
    assert not checks.does_not_fall(hidden, names=names, after_epoch=0).held  # the start is no part of it
    for drop, held in ((0.009, True), (0.011, False)):
        assert checks.does_not_fall(curve(f"{drop}", 1 + drop, 1, 1, noise=0), names=names, **after).held == held
    with pytest.raises(MissingData, match="too few"):
        checks.does_not_fall(fell, names=names, after_epoch=23)


def test_predictions_converge_where_both_rest_near_their_value_at_the_end(tmp_path):
    def predict(name, *last):
        rows = [(epoch, 1, 1, *(last if epoch > 36 else (0.5, 0.5))) for epoch in range(1, 41)]
        return write_claim_run(tmp_path / name, rows=rows)

    arguments = {"names": ["discriminator/real", "discriminator/fake"], "to": 0.5, "within": 0.05}
    assert not checks.does_not_converge(predict("a", 0.54, 0.46), **arguments).held
    result = checks.does_not_converge(predict("b", 0.54, 0.44), **arguments)
    assert result.held and result.evidence == "0.54 and 0.44 at the end, 0 of 4 rows near 0.5"


def test_a_loss_rises_above_its_mean_before(tmp_path):
    rows = [(epoch, 1.0, 1.0 + epoch, 0.5, 0.5) for epoch in range(1, 21)]
    run = write_claim_run(tmp_path, rows=rows)
    rose = checks.rises(run, name="generator/loss", after_epoch=3, times=20.5 / 3)  # 2, 3, 4, and finally 20, 21
    assert rose.held and "3 until epoch 3, 20.5" in rose.evidence
    assert not checks.rises(run, name="generator/loss", after_epoch=3, times=7).held


def test_a_loss_settles_where_it_changes_less_and_the_discriminator_goes_on(tmp_path):
    def swing(name, first, last, real):
        sizes = [9.0] * 5 + [first] * 10 + [(first + last) / 2] * 10 + [last] * 10
        rows = [(epoch, 1, size * (-1) ** epoch, real, 0.5) for epoch, size in enumerate(sizes)]
        return write_claim_run(tmp_path / name, rows=rows)

    def settles(run):
        return checks.settles(run, name="generator/loss", after_epoch=5, to=0.5)

    result = settles(swing("a", 0.4, 0.2, 0.53))
    assert result.held and result.evidence == "changes by 0.8, then 0.4 from row to row; D goes on"
    assert not settles(swing("b", 0.4, 0.21, 0.53)).held
    gave_up = settles(swing("c", 0.4, 0.2, 0.51))
    assert not gave_up.held and "D gave up (D(x) 0.51, D(G(z)) 0.5)" in gave_up.evidence


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
    assert not finished.held and "100 steps, losses of D 1.5 and G 2.5 at the end" in finished.evidence


def test_a_gradient_vanishes_where_the_discriminator_wins(tmp_path):
    def falling(name, least, real):
        rows = [(epoch, 1, 8.0 if epoch < 19 else least, real, 0.01) for epoch in range(1, 21)]
        return write_claim_run(tmp_path / name, rows=rows)

    arguments = {"name": "generator/loss", "until_epoch": 20}
    result = checks.vanishes(falling("a", 0.5, 0.95), below=0.07, **arguments)
    assert result.held and "from 8 to 0.5, D wins" in result.evidence
    assert not checks.vanishes(falling("b", 0.5, 0.95), below=0.06, **arguments).held
    assert not checks.vanishes(falling("c", 0.5, 0.6), below=0.07, **arguments).held  # it fell, but D did not win
    once = write_claim_run(tmp_path / "d", rows=[(e, 1, 0.01 if e == 20 else 8.0, 0.95, 0.01) for e in range(1, 21)])
    assert not checks.vanishes(once, below=0.07, **arguments).held


def test_training_takes_hours_on_a_machine(tmp_path):
    run = write_claim_run(tmp_path, seconds=7200.0)
    result = checks.takes_hours(run, at_least=2)
    assert result.held and result.evidence == "2 hours, a box"
    assert not checks.takes_hours(run, at_least=2.1).held


def test_each_finding_is_one_of_the_words_that_are_allowed(tmp_path):
    run = write_claim_run(tmp_path, findings={"dirac/path": "circles", "dirac/step": "stalls", "dirac/paper": None})
    result = checks.finds(run, findings={"dirac/path": ["circles", "diverges"], "dirac/step": ["stalls"]})
    assert result == (True, "dirac/path circles, dirac/step stalls")
    assert not checks.finds(run, findings={"dirac/path": ["circles"], "dirac/step": ["converges"]}).held
    assert not checks.finds(run, findings={"dirac/path": ["converges"], "dirac/step": ["stalls"]}).held
    with pytest.raises(MissingData, match="dirac/paper, other"):
        checks.finds(run, findings={"dirac/path": ["circles"], "dirac/paper": ["converges"], "other": ["x"]})
