"""Curves are means within bands, with round ticks."""

from gan.report import curves


def test_curves_are_means_within_bands():
    class Run:
        def __init__(self, *losses):
            self.rows = [{"step": 10 * i, "loss": loss} for i, loss in enumerate(losses)]

    class Group:
        counted = (Run(1.0, 2.0, None), Run(3.0, 2.0, 5.0))

    assert curves.curve_points(Group, "loss") == [(0, 2.0, 1.0, 3.0), (10, 2.0, 2.0, 2.0), (20, 5.0, 5.0, 5.0)]


def test_ticks_are_round_numbers_within_the_range():
    assert curves.round_ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1]
    assert curves.round_ticks(0, 1500) == [0, 500, 1000, 1500]
    assert curves.round_ticks(-3, 40) == [0, 20, 40]
