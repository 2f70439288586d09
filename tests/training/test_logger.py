"""Metrics on their way to metrics.jsonl and TensorBoard."""

import copy
import json
import re
import subprocess
import sys
import time
import urllib.request

import pytest
import torch

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
def board(tmp_path):
    """The address of a TensorBoard that shows `tmp_path`. Its threads would not outlive the forks of other tests."""
    arguments = ["--logdir", str(tmp_path), "--port", "0", "--reload_interval", "1"]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        yield next(address[0] for line in server.stderr if (address := re.search(r"http://\S+", line)))
        server.kill()


def test_tensorboard_serves_scalars_images_text_and_hyperparameters(train_here, board, tmp_path):
    """Read over HTTP, as a browser does."""
    train_here(tmp_path / "run", "train.max_steps=40", "watch.log_every=10")

    def get(route, body=None, is_ready=bool):
        """The answer, once it `is_ready`: TensorBoard reads a run bit by bit, and answers all the while."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(board + "data/plugin/" + route, data, {"Content-Type": "application/json"})
        deadline = time.monotonic() + 60
        while True:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.loads(response.read())
            if is_ready(answer) or time.monotonic() > deadline:
                return answer
            time.sleep(0.2)

    tags = get("scalars/tags", is_ready=lambda tags: "generator/lr" in tags.get("run", {}))["run"]
    points = get("scalars/scalars?tag=discriminator%2Floss&run=run", is_ready=lambda points: len(points) >= 4)
    rows = read_metrics(tmp_path / "run")
    assert tags.keys() == (rows[0].keys() - {"step", "seconds"}) | {"images_per_second"}
    assert [step for _, step, _ in points] == [10, 20, 30, 40]
    assert [value for _, _, value in points] == pytest.approx([row["discriminator/loss"] for row in rows], rel=1e-6)
    assert get("images/tags", is_ready=lambda tags: "run" in tags)["run"]["samples"]["samples"] == 1
    assert any("config" in tag for tag in get("text/tags", is_ready=lambda tags: "run" in tags)["run"])
    sessions = get("hparams/session_groups", {
        "experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [], "startIndex": 0, "sliceSize": 10,
    }, is_ready=lambda answer: answer["sessionGroups"])["sessionGroups"]  # fmt: skip
    assert len(sessions) == 1 and sessions[0]["hparams"]["model"] == "mlp"
    charts = get("custom_scalars/layout")["category"][0]["chart"]
    assert charts[0]["multiline"]["tag"] == ["discriminator/loss$", "generator/loss$"]
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1
