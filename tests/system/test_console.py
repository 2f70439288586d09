"""Lines for the console."""

import pytest

from gan.system.console import format_seconds, labeled, wrapped


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (167, "2 min 47 s"),
        (3599.7, "1 h 00 min"),
        (45_000, "12 h 30 min"),
    ],
)
def test_a_time_has_two_units_at_most(seconds, text):
    assert format_seconds(seconds) == text


def test_a_long_line_goes_on_below_its_text_and_a_path_is_not_cut():
    lines = wrapped(labeled("data", "word " * 30 + "/" + "a-path" * 20))
    assert lines[0].startswith("  data ") and len(lines) == 3
    column = lines[0].index("word")
    assert all(line[:column].isspace() for line in lines[1:]) and lines[-1].strip() == "/" + "a-path" * 20
    assert all(len(line) <= 100 for line in lines[:-1])
