"""Metrics on their way to metrics.jsonl and TensorBoard."""

import copy
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
import torch

from gan.training import loop
from gan.training.logger import MetricAccumulator
from tests.training.conftest import read_metrics


@pytest.mark.parametrize(("mean", "first"), [(True, 2.0), (False, 3.0)])
def test_metrics_are_the_mean_since_the_last_time_or_those_of_the_last_step(mean, first):
    metrics = MetricAccumulator(mean)
    assert metrics.read() == {}
    for value in (1.0, 3.0):
        metrics.add({"a": torch.tensor(value), "b": -torch.tensor(value)})
    assert metrics.read() == {"a": first, "b": -first}
    metrics.clear()
    metrics.add({"a": torch.tensor(6.0), "b": torch.tensor(0.0)})
    assert metrics.read() == {"a": 6.0, "b": 0.0}


@pytest.mark.parametrize("mean", [True, False])
def test_an_accumulator_is_restored_from_a_checkpoint(mean):
    accumulators = [MetricAccumulator(mean), MetricAccumulator(mean)]
    accumulators[0].add({"a": torch.tensor(1.0)})
    accumulators[1].load_state_dict(copy.deepcopy(accumulators[0].state_dict()), torch.device("cpu"))
    for accumulator in accumulators:
        accumulator.add({"a": torch.tensor(4.0)})
    assert accumulators[0].read() == accumulators[1].read() == {"a": 2.5 if mean else 4.0}


@pytest.fixture
def get(tmp_path, request):
    """Answers of a TensorBoard that shows `tmp_path`, read as a browser does.

    It is a process, since its threads would not outlive the forks of other tests. A parameter is for its command line.
    """
    arguments = ["--logdir", str(tmp_path), "--port", "0", "--reload_interval", "1", *getattr(request, "param", [])]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))

        def get(route, body=None, is_ready=bool):
            """The answer, once it `is_ready`: TensorBoard reads a run bit by bit, and answers all the while."""
            data = None if body is None else json.dumps(body).encode()
            query = urllib.request.Request(address + "data/plugin/" + route, data, {"Content-Type": "application/json"})
            deadline = time.monotonic() + 30
            while True:
                with urllib.request.urlopen(query, timeout=60) as response:
                    answer = json.loads(response.read())
                if is_ready(answer) or time.monotonic() > deadline:
                    return answer
                time.sleep(0.2)

        yield get
        server.kill()


def get_sessions(get, is_ready):
    """The answer of the HParams tab: each run by its name."""
    statuses = [f"STATUS_{name}" for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]
    columns = {"experimentName": "", "colParams": [], "startIndex": 0, "sliceSize": 10, "includeMetrics": True}

    def by_name(answer):
        return {group["name"]: group for group in answer["sessionGroups"]}

    body = columns | {"allowedStatuses": statuses}
    return by_name(get("hparams/session_groups", body, lambda answer: is_ready(by_name(answer))))


def test_tensorboard_serves_scalars_images_text_and_hyperparameters(train_here, get, tmp_path):
    train_here(tmp_path / "run", "train.max_steps=40", "watch.log_every=10")
    tags = get("scalars/tags", is_ready=lambda tags: "generator/lr" in tags.get("run", {}))["run"]
    points = get("scalars/scalars?tag=discriminator%2Floss&run=run", is_ready=lambda points: len(points) >= 4)
    rows = read_metrics(tmp_path / "run")
    assert tags.keys() == (rows[0].keys() - {"step", "seconds"}) | {"images_per_second"}
    assert [step for _, step, _ in points] == [10, 20, 30, 40]
    assert [value for _, _, value in points] == pytest.approx([row["discriminator/loss"] for row in rows], rel=1e-6)
    assert get("images/tags", is_ready=lambda tags: "run" in tags)["run"]["samples"]["samples"] == 1
    assert any("config" in tag for tag in get("text/tags", is_ready=lambda tags: "run" in tags)["run"])
    sessions = get_sessions(get, is_ready=bool)
    assert list(sessions) == ["run"] and sessions["run"]["hparams"]["model"] == "mlp"
    many, one = get("custom_scalars/layout")["category"]
    assert (many["closed"], one["closed"]) == (False, True)
    assert one["chart"][0]["multiline"]["tag"] == ["discriminator/loss$", "generator/loss$"]
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1


READERS = [
    [],
    pytest.param(["--load_fast=false"], marks=pytest.mark.slow),
]  # TensorBoard's two ways to read event files


@pytest.mark.slow
@pytest.mark.parametrize("get", READERS, indirect=True, ids=["fast", "python"])
def test_hparams_has_the_columns_of_all_runs_with_numbers_as_numbers_and_how_each_ended(
    train, train_here, get, tmp_path, monkeypatch
):
    """Three runs that typed different settings, and one that is running."""
    short = ["train.max_steps=4", "watch.log_every=2", "watch.samples=1"]
    for name, typed in {
        "seed": ["seed=3", *short],
        "diverged": ["optim=sgd", "optim.generator.lr=1e30", *short],
        "trick": ["trick=[r1]", "trick.r1.gamma=5", *short],
    }.items():
        assert train(*typed, f"hydra.run.dir={tmp_path / name}").returncode == 0
    update = loop.training_step

    def stop(run):
        signal.raise_signal(signal.SIGTERM)
        return update(run)

    monkeypatch.setattr(loop, "training_step", stop)
    train_here(tmp_path / "stopped", *short)
    (tmp_path / "running").mkdir()
    for path in (tmp_path / "stopped").glob("events*"):  # a run that is stopped is not over, and looks like this
        shutil.copy(path, tmp_path / "running")

    ended = {"seed": "SUCCESS", "diverged": "FAILURE", "trick": "SUCCESS", "stopped": "UNKNOWN", "running": "UNKNOWN"}
    sessions = get_sessions(get, lambda sessions: sessions.keys() == ended.keys())
    assert {name: f"STATUS_{state}" for name, state in ended.items()} == {
        name: sessions[name]["sessions"][0]["status"] for name in ended
    }
    info = {column["name"]: column for column in get("hparams/experiment", {"experimentName": ""})["hparamInfos"]}
    for name in ("seed", "optim.generator.lr", "trick.r1.gamma", "train.batch_size"):
        assert info[name]["type"] == "DATA_TYPE_FLOAT64", name
    assert info["trick"]["domainDiscrete"] == ["[r1]"]
    assert not info.keys() & {"loss", "dataset", "noise.dim", "optim.discriminator.lr", "cache_dir"}  # not typed
    values = {name: sessions[name]["hparams"] for name in ("seed", "diverged", "trick")}
    assert [values[name].get("seed") for name in values] == [3, None, None]
    assert [values[name].get("trick.r1.gamma") for name in ("seed", "trick")] == [None, 5]
    assert values["diverged"]["optim.generator.lr"] == pytest.approx(1e30)
    metrics = {value["name"]["tag"] for value in sessions["trick"]["metricValues"]}
    assert metrics == set(read_metrics(tmp_path / "trick")[-1]) - {"step", "seconds"} | {"images_per_second"}
