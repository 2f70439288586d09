"""Searches with Optuna: experiment=search/rates."""

import csv
import shlex
import sqlite3

import pytest
import sqlalchemy

from tests.conftest import TINY, read_status

SEARCH = ["experiment=search/rates", *TINY, "hydra.sweeper.n_trials=2", "train.max_steps=2", "watch.scores_images=100"]


def test_a_search_without_scores_ends_before_its_first_trial(program, tmp_path):
    done = program("train.py", *SEARCH, "watch.scores_every=null", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("watch.scores_every=null")
    assert not [*tmp_path.rglob("status.json")]


@pytest.mark.slow
def test_the_best_trial_of_a_search_is_named_with_the_line_that_reruns_it(train, program, tmp_path):
    done = train(*SEARCH, "watch.scores_every=2", f"hydra.sweep.dir={tmp_path / 'search'}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  best trial ")]
    again = program("train.py", *shlex.split(line)[4:], f"hydra.run.dir={tmp_path / 'again'}")
    assert again.returncode == 0, again.stderr
    with (tmp_path / "search" / "sweep.csv").open(newline="") as file:
        trials = list(csv.DictReader(file))
    fids = [float(trial["fid_digits"]) for trial in trials]
    assert read_status(tmp_path / "again")["scores"]["fid_digits"] == min(fids)
    assert [trial["best"] for trial in trials] == [str(fid == min(fids)) for fid in fids]


@pytest.mark.slow
def test_a_search_in_which_all_trials_diverge_ends_with_their_table(train, tmp_path):
    rates = ["hydra.sweeper.params={optim.generator.lr: 'choice(1e30,1e31)'}", "optim.discriminator.lr=1e30"]
    done = train(*SEARCH, "watch.scores_every=2", *rates, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    table = done.stdout[done.stdout.rindex(f"\n{tmp_path}\n") :]
    assert table.count("diverged") == 2 and (tmp_path / "sweep.csv").exists()


@pytest.mark.skipif(sqlalchemy.__version__ >= "2", reason="Optuna 2 keeps a search with SQLAlchemy 1 only")
@pytest.mark.slow
def test_a_search_that_is_kept_in_a_file_goes_on_with_other_trials(train, tmp_path):
    storage = ["hydra.sweeper.study_name=a", f"hydra.sweeper.storage=sqlite:///{tmp_path}/search.db"]
    for seed in (0, 1):
        done = train(*SEARCH, "watch.scores_every=2", *storage, f"hydra.sweeper.sampler.seed={seed}")
        assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "search.db") as study:
        states = study.execute("select state from trials").fetchall()
        rates = study.execute("select param_value from trial_params where param_name = 'optim.generator.lr'").fetchall()
    assert states == [("COMPLETE",)] * 4 and len({*rates}) == 4
