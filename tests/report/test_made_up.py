"""The made-up runs are as training leaves them, and the same every time."""

import pytest

from gan.report.runs import find_runs
from gan.system import files
from tests.report import made_up
from tests.report.made_up_numbers import Fate
from tests.report.made_up_run import DATASETS, MadeUpRun


def test_a_made_up_run_is_read_without_damage_and_has_every_column(tmp_path):
    made_up.write_one(tmp_path)
    (run,) = find_runs([tmp_path])
    assert len(run.rows) > 50 and run.rows[-1]["step"] == run.status["step"] == run.training_scores[-1]["step"]
    assert run.evaluations[0]["generated"] == 10_000 and run.status["scores"]["fid_mnist"] > 0
    assert run.settings["loss"] == "hinge" and run.settings["train.epochs"] == "2"
    assert not run.damage


def test_the_same_settings_and_fate_make_the_same_files(tmp_path):
    for name in ("a/run", "b/run"):
        MadeUpRun(tmp_path / name, ["train.max_steps=200", "watch.samples_every=100"], Fate(evaluated=True)).write()
    one, other = (sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in "ab")
    for path, same in zip(one, other, strict=True):
        assert path.read_bytes() == same.read_bytes() or path.name == "hydra.yaml", path  # which has the folder's path


@pytest.mark.parametrize(
    ("write", "count"), [(made_up.write_pair, 2), (made_up.write_sweep, 4), (made_up.write_seeds, 12)]
)
def test_a_made_up_sweep_has_its_runs(tmp_path, write, count):
    write(tmp_path)
    assert len(find_runs([tmp_path])) == count


def test_a_search_knows_its_best_trial(tmp_path):
    made_up.write_search(tmp_path, trials=14)
    best = files.read_yaml(tmp_path / "optimization_results.yaml")
    finished = [run for run in find_runs([tmp_path]) if run.status["state"] == "finished"]
    scores = {run.status["scores"]["fid_mnist"]: run for run in finished}
    assert best["best_value"] == min(scores)
    settings = scores[best["best_value"]].settings
    assert {name: settings[name] for name in best["best_params"]} == {k: str(v) for k, v in best["best_params"].items()}


@pytest.mark.slow
def test_mixed_runs_have_every_state_and_dataset(tmp_path):
    made_up.write_mixed(tmp_path)
    runs = find_runs([tmp_path])
    states = {run.status["state"] for run in runs}
    assert len(runs) == 42
    assert states == {"finished", "diverged", "failed", "running", "interrupted", "stopped", "refused"}
    assert {run.settings["dataset"] for run in runs} == {*DATASETS}
    assert sum(not run.sample_grids for run in runs if run.status["state"] == "finished") == 1
    assert sum(run.status["state"] == "finished" and run.rows[-1]["step"] < run.status["step"] for run in runs) == 1
    assert any(not run.status["scores"] for run in runs)


def test_many_runs_have_two_hundred_points_and_twenty_grids_each(tmp_path):
    made_up.write_many(tmp_path, count=2)
    for run in find_runs([tmp_path]):
        assert len(run.rows) == 200 and len(run.sample_grids) == 21


def test_making_up_runs_imports_no_torch(process, tmp_path):
    code = f"import sys; from tests.report import made_up; made_up.main(['one', {str(tmp_path / 'run')!r}]); "
    done = process("-c", code + "print('torch' in sys.modules)")
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr
