"""Failures are named once, in words, and move nothing."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan.cli import jobs
from gan.data.image_shape import ImageShape
from gan.losses import Hinge, NonSaturating, Wasserstein
from gan.system import status
from gan.training import loop
from gan.tricks.failures import TrackFailures
from tests.conftest import composed, read_status, trick_context
from tests.test_config import NARROW

HEALTHY = {
    "discriminator/loss": 1.0, "discriminator/auc": 0.8, "discriminator/gradient_norm": 2.0,
    "generator/gradient_norm": 2.0, "generator/diversity": 0.9,
}  # fmt: skip


def tracker(action="warn"):
    return TrackFailures(
        loss_below=0.01,
        auc_above=0.99,
        gradient_above=100.0,
        diversity_below=0.3,
        patience_steps=100,
        action=action,
    )


def test_a_healthy_run_has_no_failure():
    trick = tracker()
    assert not any(trick.find_failures(step, HEALTHY) for step in range(0, 1000, 50))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("discriminator/loss", 0.001, "D's loss is nearly 0"),
        ("discriminator/auc", 0.999, "D tells nearly every real image"),
        ("discriminator/gradient_norm", 200.0, "D's gradient is very long"),
        ("generator/gradient_norm", 200.0, "G's gradient is very long"),
        ("generator/diversity", 0.1, "G's images are almost all alike"),
    ],
)
def test_each_failure_is_said_once_and_only_when_it_lasts(name, value, words):
    trick, said = tracker(), []
    for step in range(0, 1000, 50):
        said += [(step, failure) for failure in trick.find_failures(step, HEALTHY | {name: value})]
    ((step, failure),) = said
    assert step == 100 and failure.sentence.startswith(words) and not failure.stop
    assert failure.sentence.endswith("and has been for 100 steps.")


def test_what_gets_better_begins_anew():
    trick = tracker()
    ill = HEALTHY | {"generator/diversity": 0.1}
    numbers = [ill, ill, HEALTHY, ill, ill, ill]
    said = [len(trick.find_failures(50 * number, each)) for number, each in enumerate(numbers)]
    assert said == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        (NonSaturating(terms="sum", real_target=1.0, fake_target=0.0), True),
        (Hinge(terms="sum"), True),
        (Wasserstein(terms="sum"), False),
    ],
)
def test_a_loss_of_nothing_means_something_only_where_a_loss_has_a_bound(loss, named):
    trick = tracker()
    trick.check(trick_context(ImageShape(1, 8), 8, loss))
    said = [
        failure for step in (0, 100) for failure in trick.find_failures(step, HEALTHY | {"discriminator/loss": 0.0})
    ]
    assert bool(said) is named


def test_what_it_measures_is_what_it_says():
    trick = tracker()
    real, fake = torch.randn(64, 1, 8, 8), torch.randn(1, 1, 8, 8).expand(64, -1, -1, -1)
    metrics = trick.observe(real, fake, torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0]))
    assert metrics["discriminator/auc"].item() == 0.75  # 1 > 0, 3 > 2 and 3 > 0, but not 1 > 2
    assert metrics["generator/diversity"].item() == pytest.approx(0, abs=1e-6)
    metrics = trick.observe(real, real / 2, torch.tensor([1.0]), torch.tensor([2.0]))
    assert metrics["generator/diversity"].item() == pytest.approx(0.5)


def test_looking_moves_nothing(make_run):
    rows = []
    for trick in ("[]", "[track_failures]"):
        run = make_run(f"trick={trick}", *NARROW["mlp"])
        for _ in range(3):
            numbers = loop.training_step(run)
            run.step += 1
        rows.append(numbers)
    assert all(torch.equal(number, rows[1][name]) for name, number in rows[0].items())


def seeing_failures(action):
    return [
        "trick=[track_failures]", "trick.track_failures.auc_above=1", "trick.track_failures.diversity_below=1000", "trick.track_failures.patience_steps=4",
        f"trick.track_failures.action={action}", "train.max_steps=10", "watch.log_every=2",
    ]  # fmt: skip


def test_a_failure_stands_in_the_status_and_in_tensorboard(train_here, tmp_path):
    train_here(tmp_path, *seeing_failures("warn"))
    status = read_status(tmp_path)
    assert status["state"] == "finished" and [failure["step"] for failure in status["failures"]] == [6]
    assert "G's images are almost all alike" in status["failures"][0]["what"]
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    (event,) = board.Tensors("failures/text_summary")
    assert event.step == 6 and b"almost all alike" in event.tensor_proto.string_val[0]
    assert "generator/diversity" in board.Tags()["scalars"]


def test_a_stop_between_two_logging_points_changes_no_verdict(train_here, tmp_path):
    for steps in (5, 10):
        train_here(tmp_path / "parts", *seeing_failures("warn"), f"train.max_steps={steps}", resume=steps == 10)
    train_here(tmp_path / "whole", *seeing_failures("warn"))
    found = [read_status(tmp_path / name)["failures"] for name in ("whole", "parts")]
    assert found[0] == found[1] and [failure["step"] for failure in found[0]] == [6]


def test_what_failed_after_the_checkpoint_is_said_again_once(train_here, tmp_path):
    train_here(tmp_path, *seeing_failures("warn"), "train.max_steps=4")
    status.update(tmp_path, failures=[{"step": 6, "what": "said before a crash"}])
    train_here(tmp_path, *seeing_failures("warn"), resume=True)
    (failure,) = read_status(tmp_path)["failures"]
    assert failure["step"] == 6 and "almost all alike" in failure["what"]


@pytest.mark.parametrize(("error", "settled"), [("the images are all alike.", True), (None, False)])
def test_a_sweep_leaves_a_run_alone_that_ended_itself(tmp_path, error, settled):
    status.update(tmp_path, state="stopped", error=error)
    cfg = composed()
    assert jobs.already_done(cfg, tmp_path, saved=True) is settled
    assert cfg.resume == (None if settled else str(tmp_path))


def test_a_run_may_stop_at_a_failure_and_be_taken_up_again(train_here, tmp_path):
    train_here(tmp_path, *seeing_failures("stop"))
    found = read_status(tmp_path)
    assert (found["state"], found["step"]) == ("stopped", 6) and "almost all alike" in found["error"]
    train_here(tmp_path, *seeing_failures("stop"), resume=True)
    found = read_status(tmp_path)
    assert (found["state"], found["step"], found["error"]) == ("finished", 10, None)
    assert len(found["failures"]) == 1  # it was said before
