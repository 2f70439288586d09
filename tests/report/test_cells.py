"""Numbers of a table: mean, spread and the best of a column."""

from gan.report.cells import Number, best, mean_over


def test_a_mean_has_the_spread_of_a_sample():
    assert mean_over([1.0, 2.0, 3.0, None, float("nan")]) == Number(2.0, 1.0)
    assert mean_over([None]) is None


def test_a_number_shows_its_spread_where_it_has_one():
    numbers = mean_over([1.0, 2.0, 3.0]), mean_over([4.0]), mean_over([4.0, 4.0])
    assert [str(number) for number in numbers] == ["2 ± 1", "4", "4"]


def test_the_best_is_the_lowest_or_the_highest_or_none():
    numbers = [Number(2.0), Number(1.0), None]
    assert best("fid", numbers) == 1.0 and best("recall", numbers) == 2.0 and best("D loss", numbers) is None
