"""Searches with Optuna: experiment=search/rates."""

import sqlite3

import pytest
import sqlalchemy

from tests.conftest import TINY

SEARCH = ["experiment=search/rates", *TINY, "hydra.sweeper.n_trials=2", "train.max_steps=2", "watch.scores_images=100"]


def test_a_search_without_scores_ends_before_its_first_trial(program, tmp_path):
    done = program("train.py", *SEARCH, "watch.scores_every=null", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("watch.scores_every=null")
    assert not [*tmp_path.rglob("status.json")]


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
