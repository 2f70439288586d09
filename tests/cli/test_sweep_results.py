"""The table of a sweep, printed and as sweep.csv, and what the end of the sweep says."""

import csv

import pytest

from gan.cli import sweep_results
from gan.cli.sweep_results import MAX_SHOWN, Search, SweepRun, search_table, table_lines, write_results
from gan.system import status


def a_run(folder, **outcome):
    return SweepRun(folder, {}, status.INITIAL | {"state": "finished"} | outcome)


def read_csv(folder):
    with (folder / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_the_fid_of_the_runs_that_have_one(tmp_path):
    runs = [
        a_run(tmp_path / "a", scores={"fid_mnist": 7.8125}, last={"discriminator/loss": 1.25}, seconds=2.6),
        a_run(tmp_path / "b", scores={"fid_digits": 3.0}),
        a_run(tmp_path / "c", last={"discriminator/loss": "x"}, state="failed"),
    ]
    head, *rows = [line.split() for line in table_lines(runs, tmp_path)]
    assert head[-2:] == ["fid_mnist", "fid_digits"] and [row[-2:] for row in rows] == [
        ["7.812", "-"],
        ["-", "3.000"],
        ["-", "-"],
    ]
    write_results(runs, tmp_path)
    assert [row["fid_mnist"] for row in read_csv(tmp_path)] == ["7.8125", "", ""]
    assert read_csv(tmp_path)[0]["seconds"] == "3" and read_csv(tmp_path)[2]["D loss"] == ""


def trials(folder):
    """Trials of a search, in the order in which they ran."""
    return [
        SweepRun(folder / name, {"optim.generator.lr": rate, "seed": "1"}, status.INITIAL | outcome)
        for name, rate, outcome in (
            ("a", "0.00044303752452182633", {"state": "finished", "scores": {"fid_mnist": 7.5}}),
            ("b", "1e-3", {"state": "diverged", "scores": {"fid_mnist": 0.5}, "error": "x."}),
            ("c", "1.5613372459644674e-05", {"state": "stopped", "scores": {"fid_mnist": 3.25}}),
            ("d", "0.5", {"state": "failed"}),
            ("e", "0.5", {"state": "finished", "scores": {"fid_mnist": "x"}}),
        )
    ]


@pytest.mark.parametrize(
    ("maximizes", "order"), [(False, ["1.561e-05", "0.000443"]), (True, ["0.000443", "1.561e-05"])]
)
def test_the_table_of_a_search_has_the_best_trial_first_with_a_star(tmp_path, maximizes, order):
    head, *rows = [line.split() for line in search_table(trials(tmp_path), Search(maximizes))]
    assert head == ["fid_mnist", "optim.generator.lr", "seed", "state", "step"]
    assert rows[0][0] == "*" and [rows[0][2], rows[1][1]] == order
    assert [row[:2] for row in rows[2:]] == [["-", "1e-3"], ["-", "0.5"], ["-", "0.5"]]  # as the search counted them
    assert sum(row[0] == "*" for row in rows) == 1


def test_the_csv_of_a_search_has_all_digits_and_the_best_trial(tmp_path):
    write_results(trials(tmp_path), tmp_path, Search(maximizes=False))
    rows = read_csv(tmp_path)
    assert [row["best"] for row in rows] == ["False", "False", "True", "False", "False"]
    assert [row["objective"] for row in rows] == ["7.5", "", "3.25", "", ""]
    assert rows[2]["optim.generator.lr"] == "1.5613372459644674e-05" and rows[2]["job"] == "c"


def test_a_search_without_a_score_has_no_best_trial(tmp_path):
    runs = [run for run in trials(tmp_path) if run.outcome["state"] in ("diverged", "failed")]
    head, *rows = search_table(runs[1:], Search(maximizes=False))
    assert Search(maximizes=False).best(runs) is None and "score" in head and len(rows) == 1


def test_a_folder_named_like_a_formula_is_none_in_the_csv(tmp_path):
    write_results([a_run(tmp_path / "=1+2")], tmp_path)
    assert read_csv(tmp_path)[0]["job"] == "'=1+2"


def test_more_runs_than_fit_into_the_contact_sheet_are_all_in_the_table(tmp_path):
    *lines, last = write_results([a_run(tmp_path / str(number)) for number in range(MAX_SHOWN + 1)], tmp_path)
    assert len(read_csv(tmp_path)) == MAX_SHOWN + 1
    assert any(str(MAX_SHOWN) in line and str(MAX_SHOWN + 1) in line for line in lines) and "gan.report" in last


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError("x"), RuntimeError("a bug")])
def test_an_error_while_drawing_is_told_and_not_raised(tmp_path, monkeypatch, capsys, error):
    """A bug with its traceback."""

    def fail(*_):
        raise error

    monkeypatch.setattr(sweep_results, "sheet_png", fail)
    sentence, last = write_results([a_run(tmp_path / "a")], tmp_path)
    assert sentence.startswith("sweep.png was not written: ") and "sweep.png" not in last and "sweep.csv" in last
    assert not (tmp_path / "sweep.png").exists() and len(read_csv(tmp_path)) == 1
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, RuntimeError)
