"""What a run knows of its progress."""

import pytest

from gan.config.errors import ConfigError


@pytest.fixture
def run(make_run):
    """64 images in batches of 8, two of which make a step."""
    return make_run("train.discriminator_steps=2", "train.epochs=3", "train.max_steps=null")


def test_an_epoch_has_as_many_steps_as_show_every_image_once(run):
    assert (run.images_per_step, run.total_steps) == (16, 12)
    run.step = 6
    assert run.epoch == 1.5


def test_an_epoch_may_end_within_a_step(make_run):
    """24 batches in three epochs, three of which make a step."""
    run = make_run(
        "train.discriminator_steps=3", "train.epochs=3", "train.max_steps=null", "watch.samples_at=[1 epoch]"
    )
    assert run.total_steps == 8
    assert [step for step in range(9) if run.is_due("1 epoch", step)] == [0, 3, 6, 8]
    assert [step for step in range(9) if run.is_due("2 epochs", step)] == [0, 6]
    assert [step for step in range(9) if run.is_sample_due(step)] == [0, 3]
    run.step = 4
    assert run.epoch == 1.5


@pytest.mark.parametrize(("max_steps", "total"), [(5, 5), (12, 12), (99, 12)])
def test_the_first_limit_ends_a_run(make_run, max_steps, total):
    run = make_run("train.discriminator_steps=2", "train.epochs=3", f"train.max_steps={max_steps}")
    assert run.total_steps == total


def test_a_run_without_a_limit_is_an_error_that_names_both(make_run):
    assert make_run("train.epochs=null", "train.max_steps=99").total_steps == 99
    with pytest.raises(ConfigError, match=r"train\.epochs=null.*train\.max_steps=null"):
        make_run("train.epochs=null", "train.max_steps=null")


@pytest.mark.parametrize(
    ("periods", "due"),
    [(None, []), (5, [0, 5, 10]), ("2 epochs", [0, 8]), ([5, "1 epoch"], [0, 4, 5, 8, 10, 12]), ([], [])],
)
def test_periods_are_steps_epochs_or_a_list_of_both(run, periods, due):
    assert [step for step in range(13) if run.is_due(periods, step)] == due


def test_samples_are_due_before_the_first_step_periodically_and_at_listed_steps(make_run):
    run = make_run("watch.samples_every=6", "watch.samples_at=[1 epoch,2]")
    assert [step for step in range(13) if run.is_sample_due(step)] == [0, 2, 6, 8, 12]
