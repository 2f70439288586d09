"""Weights & Biases and MLflow get what the run logger writes. Neither is needed: stand-ins write down what they get."""

import importlib.machinery
import inspect
import json
import sys
import types

import pytest

from gan.config.errors import ConfigError
from gan.training import build, trackers

STEPS = ["train.max_steps=4", "watch.log_every=2", "watch.samples_every=2"]


def module(name, **content):
    """An installed package."""
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    made.__dict__.update(content)
    return made


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for wandb. Its `calls` are what it was told."""
    calls = []

    class Run:
        id, summary = "x1y2", {}

        def log(self, numbers, step):
            calls.append(("log", step, numbers))

        def finish(self, exit_code):
            calls.append(("finish", exit_code, dict(self.summary)))

    def init(**settings):
        calls.append(("init", settings))
        return Run()

    made = module("wandb", init=init, Image=lambda path: f"image {path}", calls=calls)
    monkeypatch.setitem(sys.modules, "wandb", made)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return made


@pytest.fixture
def mlflow(monkeypatch):
    """A stand-in for mlflow. Its `calls` are what it was told."""
    calls = []

    def note(name):
        return lambda *args, **options: calls.append((name, *args, *options.values()))

    def start_run(run_id, run_name):
        calls.append(("start_run", run_id, run_name))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "abc"))

    names = ["set_tracking_uri", "set_experiment", "log_params", "log_text", "log_metrics", "log_artifact", "end_run"]
    made = module("mlflow", start_run=start_run, calls=calls, **{name: note(name) for name in names})
    monkeypatch.setitem(sys.modules, "mlflow", made)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return made


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_wandb_gets_the_settings_the_numbers_the_images_and_the_end(wandb, train_here, tmp_path):
    train_here(tmp_path / "run", *STEPS, "watch.wandb=true")
    (_, settings), *logged, finish = wandb.calls
    assert settings["project"] == "classic-gans" and settings["name"] == "run" and settings["id"] is None
    assert settings["config"]["train"]["max_steps"] == 4 and "dir" not in settings
    numbers = {step: numbers for _, step, numbers in logged if "generator/loss" in numbers}
    for row in rows(tmp_path / "run"):
        assert numbers[row["step"]]["generator/loss"] == row["generator/loss"]
    images = [step for _, step, numbers in logged if "samples" in numbers]
    assert images == [0, 2, 4] and [*numbers] == [2, 4]
    assert finish == ("finish", 0, {"state": "finished"})


def test_a_resumed_run_is_the_same_run_in_wandb(wandb, train_here, tmp_path):
    train_here(tmp_path, *STEPS, "watch.wandb=true")
    train_here(tmp_path, *STEPS, "watch.wandb=true", "train.max_steps=6", resume=True)
    starts = [call[1] for call in wandb.calls if call[0] == "init"]
    assert [start["id"] for start in starts] == [None, "x1y2"] and starts[1]["resume"] == "allow"


def test_mlflow_gets_the_settings_the_numbers_the_images_and_the_end(mlflow, train_here, tmp_path):
    train_here(tmp_path / "run", *STEPS, "watch.mlflow=sqlite:///x.db")
    first, second, third, params, config, *logged, end = mlflow.calls
    assert first == ("set_tracking_uri", "sqlite:///x.db") and second == ("set_experiment", "classic-gans")
    assert third == ("start_run", None, "run") and params == ("log_params", {"model": "mlp", "seed": 0})
    assert config[0] == "log_text" and "max_steps: 4" in config[1]
    numbers = {call[2]: call[1] for call in logged if call[0] == "log_metrics"}
    for row in rows(tmp_path / "run"):
        assert numbers[row["step"]]["generator/loss"] == row["generator/loss"]
    assert [call[1:] for call in logged if call[0] == "log_artifact" and call[2] == "samples"] == [
        (str(tmp_path / "run" / "samples" / f"step_{step:07d}.png"), "samples") for step in (0, 2, 4)
    ]
    assert end == ("end_run", "FINISHED")
    mlflow.calls.clear()
    train_here(tmp_path / "run", *STEPS, "watch.mlflow=sqlite:///x.db", "train.max_steps=6", resume=True)
    assert ("start_run", "abc", None) in mlflow.calls and not any(call[0] == "log_params" for call in mlflow.calls)


def test_a_tracker_that_fails_is_left_out_and_training_goes_on(wandb, train_here, tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no connection\nto the server")

    monkeypatch.setattr(trackers.Wandb, "log_numbers", fail)
    train_here(tmp_path, *STEPS, "watch.wandb=true")
    assert [row["step"] for row in rows(tmp_path)] == [2, 4]
    assert caplog.text.count("watch.wandb") == 1 and not any(call[0] == "finish" for call in wandb.calls)


def test_a_tracker_that_cannot_start_and_a_missing_package_are_config_errors(wandb, mlflow, train_here, tmp_path):
    wandb.init = lambda **_: 1 / 0
    with pytest.raises(ConfigError, match=r"watch\.wandb"):
        train_here(tmp_path, *STEPS, "watch.wandb=true")
    del sys.modules["mlflow"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
        patch.setattr(build, "load_dataset", None)  # said before the data is loaded
        for setting in ("watch.wandb=true", "watch.mlflow=mlruns"):
            with pytest.raises(ConfigError, match=setting.replace(".", r"\.")):
                train_here(tmp_path, *STEPS, setting)


def test_without_a_tracker_none_is_imported(wandb, mlflow, train_here, tmp_path):
    train_here(tmp_path, *STEPS)
    assert not wandb.calls and not mlflow.calls


def test_each_tracker_has_at_most_40_lines():
    for tracker in trackers.KINDS.values():
        assert len(inspect.getsource(tracker).splitlines()) <= 40
