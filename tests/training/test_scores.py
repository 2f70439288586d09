"""Scores during training: rows, best checkpoint, resuming, and the search that minimizes FID."""

import json

import pytest
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan.cli import jobs
from gan.config import check
from gan.config.errors import ConfigError
from gan.metrics import features, protocol
from gan.metrics.catalogue import METRICS, PROTOCOL
from gan.system import files, status
from gan.training import build, checkpoint, outputs
from tests.conftest import composed, read_status, weights
from tests.metrics.conftest import CPU


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Classifiers after one epoch."""
    for name, value in {"EPOCHS": 1, "MIN_STEPS": 20, "MIN_ACCURACY": 0}.items():
        monkeypatch.setattr(features, name, value)


def test_scores_are_logged_and_the_best_checkpoint_is_kept(train_here, tmp_path):
    overrides = ["watch.scores_every=10", "watch.scores_images=200", "watch.scores_parzen=true"]
    train_here(tmp_path, "train.max_steps=40", *overrides)
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30, 40]
    columns = {
        metric.column("digits") for metric in METRICS if metric.needs in ("features", "classes", "images", "pixels")
    }
    assert set(rows[0]) == {*columns, *PROTOCOL, "step"}
    best = min(rows, key=lambda row: row["fid_digits"])
    assert checkpoint.load(tmp_path, "best")["step"] == best["step"]
    assert build.load_trained(tmp_path, "best", True, CPU).step == best["step"]
    scores = read_status(tmp_path)["scores"]
    assert scores["fid_digits"] == rows[-1]["fid_digits"] and scores["generated"] == 200
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [event.step for event in board.Scalars("scores/fid_digits")] == [10, 20, 30, 40]


def test_the_status_has_real_images_beside_the_scores_computed_once(train_here, tmp_path, monkeypatch):
    reference, calls = protocol.Reference, []
    compute = reference.compute_baseline
    monkeypatch.setattr(reference, "compute_baseline", lambda *args: calls.append(args) or compute(*args))
    monkeypatch.setattr(protocol, "from_cache", lambda path, read, make, write: make())  # a cache that keeps nothing
    train_here(tmp_path, "train.max_steps=3", "watch.scores_every=1", "watch.scores_images=200")
    status, real_data = read_status(tmp_path), read_status(tmp_path)["real_data"]
    assert real_data.keys() == status["scores"].keys() and len(calls) == 1
    assert {name: real_data[name] for name in PROTOCOL} == {name: status["scores"][name] for name in PROTOCOL}
    assert real_data["fid_digits"] < status["scores"]["fid_digits"] / 5
    train_here(tmp_path / "plain", "train.max_steps=3")
    assert read_status(tmp_path / "plain")["real_data"] == {} and len(calls) == 1


def test_scores_against_training_images_have_no_real_images_beside_them(train_here, tmp_path, monkeypatch):
    monkeypatch.setattr(protocol.Reference, "real_data_baseline", lambda *_: {})  # as with split=train
    train_here(tmp_path, "train.max_steps=2", "watch.scores_every=1", "watch.scores_images=200")
    assert read_status(tmp_path)["real_data"] == {} and read_status(tmp_path)["scores"]


@pytest.mark.slow
def test_a_resumed_run_has_the_real_images_of_its_own_scores(train_here, tmp_path, monkeypatch):
    """gan.evaluate may have written others, by another protocol, since the run stopped."""
    scoring = ["watch.scores_every=2", "watch.scores_images=200"]
    train_here(tmp_path, "train.max_steps=3", *scoring)
    own, evaluated = read_status(tmp_path)["real_data"], {"fid_digits": 1.0, "generated": 100}
    monkeypatch.setattr(outputs, "log_scores", lambda *_: None)  # what the status has is of its beginning
    train_here(tmp_path, "train.max_steps=4", resume=True)
    assert read_status(tmp_path)["real_data"] == own and own
    status.update(tmp_path, scores=evaluated, real_data=evaluated)
    train_here(tmp_path, "train.max_steps=6", *scoring, resume=True)
    assert read_status(tmp_path)["real_data"] == own and read_status(tmp_path)["scores"]["generated"] == 200
    status.update(tmp_path, scores=evaluated, real_data=evaluated)
    train_here(tmp_path, "train.max_steps=8", resume=True)  # which scores nothing, so it has nothing to compare with
    assert read_status(tmp_path)["real_data"] == {} and read_status(tmp_path)["scores"]["generated"] == 200


def test_scoring_does_not_change_the_run_and_survives_a_stop(train_here, tmp_path):
    scoring = ["watch.scores_every=4", "watch.scores_images=100", "trick=[generator_dropout,conditional]"]
    train_here(tmp_path / "plain", "train.max_steps=10", scoring[2])
    train_here(tmp_path / "whole", "train.max_steps=10", *scoring)
    train_here(tmp_path / "parts", "train.max_steps=6", *scoring)
    train_here(tmp_path / "parts", "train.max_steps=10", *scoring, resume=True)
    plain = weights(tmp_path / "plain")
    for name in ("whole", "parts"):
        assert all(weights(tmp_path / name)[key].equal(plain[key]) for key in plain)
    rows = [(tmp_path / name / "scores.jsonl").read_text() for name in ("whole", "parts")]
    assert rows[0] == rows[1] and rows[0].count("\n") == 3  # 4, 8, and the end


def test_resuming_keeps_a_better_generator(train_here, tmp_path, monkeypatch):
    scoring = ["watch.scores_every=4", "watch.scores_images=100"]
    score, fids = protocol.Reference.score, iter([30.0, 10.0, 20.0, 25.0, 40.0])
    monkeypatch.setattr(protocol.Reference, "score", lambda *args: score(*args) | {"fid_digits": next(fids)})
    train_here(tmp_path, "train.max_steps=6", *scoring)  # 30 after 4 steps, and 10 at the end
    train_here(tmp_path, "train.max_steps=10", *scoring, resume=True)
    assert [row["fid_digits"] for row in files.read_rows(tmp_path / "scores.jsonl")] == [30.0, 20.0, 25.0]
    assert checkpoint.load(tmp_path, "best")["step"] == 6
    train_here(tmp_path, "train.max_steps=12", scoring[0], "watch.scores_images=200", resume=True)
    assert checkpoint.load(tmp_path, "best")["step"] == 12  # scores of another protocol cannot be compared


def test_an_interrupted_score_is_computed_again(train_here, tmp_path, monkeypatch):
    overrides = ["train.max_steps=6", "watch.scores_every=2", "watch.scores_images=100", "watch.checkpoint_every=1"]
    train_here(tmp_path / "whole", *overrides)
    score, calls = protocol.Reference.score, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:  # at step 4
            raise KeyboardInterrupt
        return score(*args)

    monkeypatch.setattr(protocol.Reference, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_here(tmp_path / "parts", *overrides)
    train_here(tmp_path / "parts", *overrides, resume=True)
    rows = [(tmp_path / name / "scores.jsonl").read_text() for name in ("whole", "parts")]
    assert rows[0] == rows[1] and rows[0].count("\n") == 3


def test_scores_during_training_need_classes(tmp_path):
    for number in range(16):
        Image.new("L", (8, 8), number * 10).save(tmp_path / f"{number}.png")
    overrides = ["dataset=image_folder", f"dataset.path={tmp_path}", "watch.scores_every=1", "train.batch_size=4"]
    cfg = composed(*overrides, f"cache_dir={tmp_path}", "device=cpu")
    with pytest.raises(ConfigError, match=r"watch\.scores_every"):
        build.build_run(cfg, check.check_config(cfg), {})


@pytest.mark.parametrize(("state", "objective"), [("finished", 7.0), ("stopped", 7.0), ("diverged", None)])
def test_a_search_minimizes_the_last_fid_unless_the_run_diverged(tmp_path, state, objective):
    status.update(tmp_path, state=state, scores={"kl": 1.0, "fid_digits": 7.0})
    assert jobs.objective(tmp_path) == objective


def test_a_run_without_scores_has_no_objective(tmp_path):
    status.update(tmp_path, state="finished")
    assert jobs.objective(tmp_path) is None


@pytest.mark.slow
def test_a_search_finds_the_settings_with_the_lowest_fid(program, tmp_path, cache):
    small = [
        "model=mlp",
        "train.max_steps=20",
        "watch.scores_every=20",
        "watch.scores_images=100",
        "model.generator.hidden=[32]",
        "model.discriminator.hidden=[32]",
    ]
    trials = ["hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.n_startup_trials=3", f"hydra.sweep.dir={tmp_path}"]
    done = program(
        "train.py", "experiment=search/rates", "dataset.count=640", *small, *trials, f"cache_dir={cache}", "threads=1"
    )
    assert done.returncode == 0, done.stderr
    scores = {path.parent.name: json.loads(path.read_text())["scores"] for path in tmp_path.glob("*/status.json")}
    fids = {name: score["fid_digits"] for name, score in scores.items()}
    result = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert len(fids) == 3 and result["best_value"] == pytest.approx(min(fids.values()))
    best = min(fids, key=fids.get)
    assert f"optim.generator.lr-{result['best_params']['optim.generator.lr']}" in best
