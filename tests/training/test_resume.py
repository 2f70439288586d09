"""A resumed run equals an unbroken one to the bit."""

import copy

import pytest
import torch

from gan.config.errors import ConfigError
from gan.training import loop
from tests.conftest import NARROW, same_weights
from tests.training.conftest import read_metrics


@pytest.mark.parametrize("log_mean", ["true", "false"])
def test_five_steps_and_five_more_equal_ten_to_the_bit(train_here, tmp_path, log_mean):
    chosen = ["trick=[instance_noise,soft_labels]", "train.discriminator_steps=2", "model.discriminator.dropout=0.3"]
    chosen += ["watch.log_every=3", "watch.samples_every=4", f"watch.log_mean={log_mean}"]
    unbroken, resumed = tmp_path / "unbroken", tmp_path / "resumed"
    train_here(unbroken, *chosen, "train.max_steps=10")
    train_here(resumed, *chosen, "train.max_steps=5")
    train_here(resumed, *chosen, "train.max_steps=10", resume=True)
    assert same_weights(unbroken, resumed)
    rows = [
        [{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(folder)]
        for folder in (unbroken, resumed)
    ]
    assert rows[0] == rows[1]
    grids = [
        {path.name: path.read_bytes() for path in (folder / "samples").iterdir()} for folder in (unbroken, resumed)
    ]
    assert grids[0] == grids[1]


@pytest.mark.parametrize("model", ["mlp", "dcgan"])
@pytest.mark.parametrize(
    "tricks",
    [
        "replay,adaptive_augment,track_failures,generator_noise",
        "conditional,minibatch_discrimination,generator_dropout",
    ],
)
def test_every_trick_with_a_state_resumes_to_the_bit(make_run, model, tricks):
    chosen = [f"trick=[{tricks}]", f"model={model}", "dataset.image_size=8", *NARROW[model]]
    chosen += ["trick.replay.images=16", "trick.adaptive_augment.images=40"] if "replay" in tricks else []
    runs = [make_run(*chosen), make_run(*chosen)]
    for number in range(6):
        if number == 3:
            runs[1].load_state_dict(copy.deepcopy(runs[0].state_dict()))
        for run in runs[: 1 if number < 3 else 2]:
            metrics = loop.training_step(run)
            run.step += 1
            run.tricks.find_failures(run.step, {name: value.item() for name, value in metrics.items()})
    states = [flatten(run.state_dict()) for run in runs]
    assert states[0].keys() == states[1].keys()
    different = [name for name, value in states[0].items() if not equal(value, states[1][name])]
    assert different == []


def flatten(state, path=""):
    """Nested dicts and lists as one dict."""
    if isinstance(state, (dict, list)):
        parts = state.items() if isinstance(state, dict) else enumerate(state)
        return {name: leaf for key, part in parts for name, leaf in flatten(part, f"{path}.{key}").items()}
    return {path: state}


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize(("stopped_at", "kept"), [(20, [10, 20]), (15, [10])])
def test_a_row_that_was_due_stays_where_the_run_is_resumed_with_another_period(train_here, tmp_path, stopped_at, kept):
    train_here(tmp_path, f"train.max_steps={stopped_at}", "watch.log_every=10")
    train_here(tmp_path, "train.max_steps=29", "watch.log_every=7", resume=True)
    assert [row["step"] for row in read_metrics(tmp_path)] == [*kept, 21, 28, 29]


def test_resuming_a_finished_run_is_an_error_that_names_the_setting_to_change(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    for steps in (3, 1):
        with pytest.raises(ConfigError, match=r"train\.max_steps=6"):
            train_here(tmp_path, f"train.max_steps={steps}", resume=True)
    train_here(tmp_path / "epoch", "dataset.limit=48", "train.epochs=1")
    with pytest.raises(ConfigError, match=r"train\.epochs=2"):
        train_here(tmp_path / "epoch", "dataset.limit=48", "train.epochs=1", resume=True)
