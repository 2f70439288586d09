"""Verdicts over seeds."""

import pytest

from gan.report.verdicts import Verdict, count_verdicts


@pytest.mark.parametrize(
    ("held", "seeds", "expected"),
    [
        (4, 4, "held"),
        (9, 10, "held"),
        (0, 4, "did not hold"),
        (1, 10, "did not hold"),
        (8, 10, "depends on the seed"),
        (1, 2, "depends on the seed"),
        (3, 3, "3 of 3 seeds"),
        (0, 3, "0 of 3 seeds"),
        (1, 1, "1 of 1 seeds"),
        (0, 0, "not run"),
    ],
)
def test_a_verdict_is_the_first_that_is_true(held, seeds, expected):
    assert str(Verdict(held, seeds)) == expected


@pytest.mark.parametrize(
    ("held", "expected"), [(4, "4 of 4 seeds, 6 to run"), (0, "0 of 4 seeds, 6 to run"), (3, "3 of 4 seeds, 6 to run")]
)
def test_there_is_no_verdict_before_all_chosen_seeds_have_run(held, expected):
    assert str(Verdict(held, 4, pending=6)) == expected


@pytest.mark.parametrize(
    ("held", "seeds", "interval"),
    [(0, 10, (0, 0.2775)), (9, 10, (0.5958, 0.9821)), (4, 4, (0.5101, 1)), (81, 263, (0.2553, 0.3662)), (0, 0, (0, 1))],
)
def test_the_interval_is_wilsons(held, seeds, interval):
    """81 of 263 is the example of Newcombe 1998, table I."""
    assert Verdict(held, seeds).interval == pytest.approx(interval, abs=5e-5)


def test_the_share_of_seeds_is_shown_with_its_interval():
    assert Verdict(9, 10).share == "9 of 10 (0.60 to 0.98)" and Verdict(0, 0).share == "-"


def test_each_verdict_is_counted_once():
    verdicts = [Verdict(4, 4), Verdict(5, 5), Verdict(0, 9), Verdict(1, 2), Verdict(3, 3), Verdict(0, 1), Verdict(0, 0)]
    assert count_verdicts(verdicts) == (
        "Of 7 claims 2 held, 1 did not hold, 1 depends on the seed, 2 have too few seeds, and 1 was not run."
    )
