"""Failures of training: each is reported once, and tracking them changes no number."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.losses import Hinge, NonSaturating, Relativistic, Wasserstein
from gan.system import status
from gan.training import loop
from gan.tricks.failures import SENTENCES, TrackFailures
from tests.conftest import NARROW, read_status, trick_context

HEALTHY = {
    "discriminator/loss": 1.0, "discriminator/auc": 0.8, "discriminator/gradient_norm": 2.0,
    "generator/gradient_norm": 2.0, "generator/diversity": 0.9,
}  # fmt: skip
ALIKE = SENTENCES["generator/diversity"].split("(")[0]  # of the sentence for images that are almost all alike


def tracker():
    return TrackFailures(patience_steps=100)


def test_a_healthy_run_has_no_failure():
    trick = tracker()
    assert not any(trick.find_failures(step, HEALTHY) for step in range(0, 1000, 50))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("discriminator/loss", 0.001),
        ("discriminator/auc", 0.999),
        ("discriminator/gradient_norm", 200.0),
        ("generator/gradient_norm", 200.0),
        ("generator/diversity", 0.1),
    ],
)
def test_each_failure_is_reported_once_and_only_when_it_lasts(name, value):
    trick = tracker()
    reports = [
        (step, failure) for step in range(0, 1000, 50) for failure in trick.find_failures(step, HEALTHY | {name: value})
    ]
    ((step, failure),) = reports
    assert step == 100 and not failure.stop
    assert failure.sentence.startswith(SENTENCES[name].format(value)) and failure.sentence.endswith("100 steps.")


@pytest.mark.parametrize(
    ("name", "limit"), [("discriminator/auc", 0.99), ("generator/gradient_norm", 100.0), ("generator/diversity", 0.3)]
)
def test_a_value_at_its_limit_is_no_failure(name, limit):
    trick = tracker()
    assert not any(trick.find_failures(step, HEALTHY | {name: limit}) for step in (0, 100))


def test_a_failure_that_ends_must_last_again_from_its_new_start():
    trick = tracker()
    failing = HEALTHY | {"generator/diversity": 0.1}
    rows = [failing, failing, HEALTHY, failing, failing, failing]
    counts = [len(trick.find_failures(50 * number, metrics)) for number, metrics in enumerate(rows)]
    assert counts == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("loss", "is_reported"), [(NonSaturating(), True), (Hinge(), True), (Relativistic(), True), (Wasserstein(), False)]
)
def test_a_discriminator_loss_of_zero_is_a_failure_only_where_the_loss_is_bounded(loss, is_reported):
    trick = tracker()
    trick.check(trick_context(ImageShape(1, 8), 8, loss))
    failures = [
        failure for step in (0, 100) for failure in trick.find_failures(step, HEALTHY | {"discriminator/loss": 0.0})
    ]
    assert bool(failures) is is_reported


def test_auc_and_diversity_by_hand():
    trick = tracker()
    real, fake = torch.randn(64, 1, 8, 8), torch.randn(1, 1, 8, 8).expand(64, -1, -1, -1)
    metrics = trick.observe(real, fake, torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0]))
    assert metrics["discriminator/auc"].item() == 0.75  # 1 > 0, 3 > 2 and 3 > 0, but not 1 > 2
    assert metrics["generator/diversity"].item() == pytest.approx(0, abs=1e-6)
    metrics = trick.observe(real, real / 2, torch.tensor([1.0]), torch.tensor([2.0]))
    assert metrics["generator/diversity"].item() == pytest.approx(0.5)


def test_tracking_failures_changes_no_metric(make_run):
    rows = []
    for trick in ("[]", "[track_failures]"):
        run = make_run(f"trick={trick}", *NARROW["mlp"])
        for _ in range(3):
            metrics = loop.training_step(run)
            run.step += 1
        rows.append(metrics)
    assert all(torch.equal(value, rows[1][name]) for name, value in rows[0].items())


@pytest.mark.parametrize("setting", ["watch.log_every=null", "train.batch_size=1"])
def test_track_failures_needs_logged_metrics_and_two_images(make_run, setting):
    with pytest.raises(ConfigError, match=setting.split("=")[0]):
        make_run("trick=[track_failures]", setting, *NARROW["mlp"])


def always_failing(action):
    """Overrides with which a failure is reported at step 6."""
    settings = {"auc_above": 1, "diversity_below": 1000, "patience_steps": 4, "action": action}
    overrides = [f"trick.track_failures.{name}={value}" for name, value in settings.items()]
    return ["trick=[track_failures]", *overrides, "train.max_steps=10", "watch.log_every=2"]


def test_a_failure_is_written_to_status_json_and_tensorboard(train_here, tmp_path):
    train_here(tmp_path, *always_failing("warn"))
    outcome = read_status(tmp_path)
    assert outcome["state"] == "finished" and [failure["step"] for failure in outcome["failures"]] == [6]
    assert ALIKE in outcome["failures"][0]["what"]
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    (event,) = board.Tensors("failures/text_summary")
    assert event.step == 6 and ALIKE.encode() in event.tensor_proto.string_val[0]
    assert "generator/diversity" in board.Tags()["scalars"]


def test_a_run_that_is_resumed_between_two_logging_points_has_the_same_failures(train_here, tmp_path):
    for steps in (5, 10):
        train_here(tmp_path / "resumed", *always_failing("warn"), f"train.max_steps={steps}", resume=steps == 10)
    train_here(tmp_path / "unbroken", *always_failing("warn"))
    failures = [read_status(tmp_path / name)["failures"] for name in ("unbroken", "resumed")]
    assert failures[0] == failures[1] and [failure["step"] for failure in failures[0]] == [6]


def test_a_failure_after_the_last_checkpoint_is_reported_again_once(train_here, tmp_path):
    train_here(tmp_path, *always_failing("warn"), "train.max_steps=4")
    status.update(tmp_path, failures=[{"step": 6, "what": "reported before a crash"}])
    train_here(tmp_path, *always_failing("warn"), resume=True)
    (failure,) = read_status(tmp_path)["failures"]
    assert failure["step"] == 6 and ALIKE in failure["what"]


def test_a_run_can_stop_at_a_failure_and_be_resumed(train_here, tmp_path):
    train_here(tmp_path, *always_failing("stop"))
    outcome = read_status(tmp_path)
    assert (outcome["state"], outcome["step"]) == ("stopped", 6) and ALIKE in outcome["error"]
    train_here(tmp_path, *always_failing("stop"), resume=True)
    outcome = read_status(tmp_path)
    assert (outcome["state"], outcome["step"], outcome["error"]) == ("finished", 10, None)
    assert len(outcome["failures"]) == 1  # it was reported before
