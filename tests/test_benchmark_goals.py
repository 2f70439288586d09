"""Verdicts, slopes and throughput of the benchmarks, from made-up numbers. Nothing here depends on a time."""

import json
import sys

import pytest
from PIL import Image

from benchmarks import __main__ as program
from benchmarks import goals, growth, growth_figure, steps, sweep
from benchmarks.goals import GOALS, Goal
from benchmarks.growth import AXES, Curve, fit_growth

AT_MOST, AT_LEAST = Goal("a", "at most", 2.0, "s"), Goal("b", "at least", 2.0, "times")


@pytest.mark.parametrize(
    ("goal", "measured", "expected"),
    [
        (AT_MOST, 1.5, "met by 25%"),
        (AT_MOST, 2.0, "met by 0%"),
        (AT_MOST, 3.0, "short by 50%"),
        (AT_MOST, 2.001, "short by less than 1%"),
        (AT_MOST, -0.2, "met by 110%"),
        (AT_LEAST, 3.0, "met by 50%"),
        (AT_LEAST, 2.0, "met by 0%"),
        (AT_LEAST, 1.5, "short by 25%"),
        (AT_MOST, float("nan"), "short by nan%"),
    ],
)
def test_a_verdict_says_met_or_short_and_by_how_much(goal, measured, expected):
    assert goals.verdict(goal, measured) == expected


def test_the_table_has_a_row_for_each_measured_number(capsys):
    measured = {goals.over_floor("mlp"): 1.95, goals.over_loop("mlp"): 2.5, goals.HELP: 0.26}
    goals.print_verdicts(measured)
    title, _, _, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert title == "## Goals: 2 of 3 met" and len(rows) == 3
    assert rows[0].endswith("| 1.95 | at most 1.5 times its floor | short by 30% |")
    assert rows[1].endswith("| 2.5 | at least 2.1 times | met by 19% |")


def test_a_number_without_a_goal_is_no_silent_success():
    with pytest.raises(KeyError):
        goals.verdict_rows({"made up": 1.0})


def test_all_that_is_measured_has_one_goal():
    names = [goal.what for goal in GOALS]
    assert len(set(names)) == len(names) and all(goal.limit > 0 for goal in GOALS)
    assert set(goals.FLOORS) == set(goals.LOOPS) == set(steps.SETUPS)
    curves = [Curve(axis, *3 * [[1.0] * len(axis.sizes)]) for axis in AXES]
    costs = growth.doubling_costs(curves)
    assert set(costs) == {name for name in names if "with twice" in name}
    assert len(goals.verdict_rows(costs)) == len(costs)


def test_the_slope_of_a_power_is_its_exponent():
    grown = fit_growth([1, 2, 4, 8], [3.0 * size**1.5 for size in (1, 2, 4, 8)])
    assert grown.slope == pytest.approx(1.5) and grown.bend is None and grown.steepest == pytest.approx(1.5)
    assert grown.describe_bend() == ""


@pytest.mark.parametrize(("before", "after"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 0.5)])
def test_a_curve_bends_where_its_two_lines_meet(before, after):
    sizes = [16, 32, 64, 128, 256]
    values = [5.0 * (size / 64) ** (before if size <= 64 else after) for size in sizes]
    grown = fit_growth(sizes, values)
    assert grown.bend == 64 and (grown.before, grown.after) == pytest.approx((before, after), abs=1e-9)
    assert grown.steepest == pytest.approx(max(before, after))
    assert grown.slope == pytest.approx((before + after) / 2)


def test_the_steepest_part_of_a_curve_counts_and_only_what_is_above_the_work():
    axis = next(axis for axis in AXES if axis.name == "side")
    work = [float(size) ** 2 for size in axis.sizes]
    seconds = [(size / 64) ** (1.0 if size <= 64 else 2.5) for size in axis.sizes]
    found = growth.doubling_costs([Curve(axis, seconds, work, work)])
    assert list(found.values()) == pytest.approx([2**0.5, 1.0])  # time, memory
    assert [row[-1] for row in goals.verdict_rows(found)] == ["short by 18%", "met by 17%"]


def test_each_size_of_an_axis_is_one_setting():
    for axis in AXES:
        assert len(axis.sizes) >= 4 and axis.sizes == sorted(axis.sizes)
        variants = [growth.make_variant(axis, size, ("device=cpu",)) for size in axis.sizes]
        settings = [dict(line.split("=", 1) for line in variant.overrides) for variant in variants]
        changed = {name for name in settings[0] if len({own.get(name) for own in settings}) > 1}
        assert bool(changed) == (axis.name != "runs"), axis
        assert all(own["model"] == axis.model and own["device"] == "cpu" for own in settings)


def made_up_curves():
    return [
        Curve(
            axis,
            [1e-4 * size**axis.changes_work for size in axis.sizes],
            [float(size**axis.changes_work) for size in axis.sizes],
            [2.0**20 * size for size in axis.sizes] if axis.memory_exponent else [],
        )
        for axis in AXES
    ]


def test_the_row_of_a_curve_has_all_cells_and_no_separator():
    for curve in made_up_curves():
        cells = growth.curve_row(curve)
        assert len(cells) == len(growth.COLUMNS) and not any("|" in cell for cell in cells)
        assert cells[4] == ("1.00 (1.00)" if curve.axis.changes_work else "0.00 (0.00)")


def test_the_figure_of_growth_is_small_and_has_both_rows(tmp_path):
    growth_figure.draw_growth(made_up_curves(), tmp_path / "growth.png")
    image = Image.open(tmp_path / "growth.png")
    assert image.size == (1100, 540) and (tmp_path / "growth.png").stat().st_size < 150_000


def test_the_throughput_of_a_sweep_splits_steps_from_the_rest():
    """Sixteen runs of 5 seconds of steps each, two at once, in 60 seconds: each costs 2.5 seconds more."""
    two_at_once = sweep.Throughput(16, 60.0, 80.0, 2)
    assert (two_at_once.per_hour, two_at_once.seconds_beyond) == (960.0, 2.5)
    assert sweep.Throughput(16, 60.0, 48.0, 1).seconds_beyond == 0.75


def test_commands_of_a_sweep_are_counted_by_their_runs(monkeypatch):
    """Each made-up command writes the outcomes of two runs, as a sweep does."""

    def run(command, **_):
        (place,) = [word.partition("=")[2] for word in command if word.startswith("hydra.sweep.dir=")]
        for name in ("seed-0", "seed-1"):
            folder = sweep.Path(place, name)
            folder.mkdir(parents=True)
            (folder / "status.json").write_text(json.dumps({"state": "finished", "seconds": 1.5}))

    monkeypatch.setattr(sweep.subprocess, "run", run)
    took = sweep.run_commands([["seed=1,2"], ["seed=3,4"]], at_once=2)
    assert (took.runs, took.step_seconds, took.at_once) == (4, 6.0, 2) and took.seconds > 0


def test_the_verdicts_are_the_last_that_the_program_prints(monkeypatch, capsys):
    monkeypatch.setattr(program, "run_parts", lambda args: {goals.WRITING: 2.0})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--parts", "writing", "--device", "cpu"])
    program.main()
    assert capsys.readouterr().out.rstrip().endswith("| at most 1 % of the time | short by 100% |")


def test_the_work_of_a_size_is_counted():
    """Twice the width has up to four times the products, and of a small MLP fewer: its first layer reads the image."""
    axis = next(axis for axis in AXES if (axis.name, axis.model) == ("width", "mlp_plain"))
    small, large = (growth.count_work(growth.make_variant(axis, size, ("device=cpu",))) for size in (8, 16))
    assert 2 < large / small < 4
