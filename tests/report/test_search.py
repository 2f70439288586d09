"""The trials of a search: the best first, with the settings that were searched."""

from gan.report import search
from gan.report.contents import Report
from gan.report.runs import find_runs
from tests.report.conftest import COMPLETE_PROTOCOL, write_run


def write_trials(folder, fids):
    for number, fid in enumerate(fids):
        scores = COMPLETE_PROTOCOL | {"fid_mnist": fid} if fid else {}
        write_run(folder / str(number), f"optim.lr={number}", f"model=m{number % 2}", scores=scores)
    return Report(find_runs([folder]), folder)


def test_trials_are_the_runs_with_a_score_the_best_first(tmp_path):
    trials = search.list_trials(write_trials(tmp_path, [3.0, 1.0, None, 5.0, 4.0, 2.0, 6.0]))
    assert [trial.score for trial in trials] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert [trial.group.settings["optim.lr"] for trial in trials[:2]] == ["1", "5"]
    assert search.searched_settings(trials) == ["optim.lr", "model"]


def test_a_few_runs_are_no_search(tmp_path):
    assert search.list_trials(write_trials(tmp_path, [3.0, 1.0, 2.0])) == []
