"""The replay buffer."""

import pytest
import torch

from gan.config.errors import ConfigError
from gan.training import loop
from gan.tricks.replay import Replay
from tests.conftest import NARROW


def numbered_images(first, count):
    """Images of one pixel, whose value is their number."""
    return torch.arange(first, first + count).float().view(-1, 1, 1, 1)


def test_new_images_are_used_until_the_buffer_is_full_and_then_a_fraction_is_old():
    trick = Replay(images=8, fraction=0.5)
    for step in range(2):
        fake = numbered_images(4 * step, 4)
        assert torch.equal(trick.replay(fake), fake)
    batch = trick.replay(numbered_images(100, 4)).flatten().tolist()
    old = set(batch[2:])
    assert batch[:2] == [100, 101] and len(old) == 2 and old < set(range(8))
    assert set(trick.buffer.flatten().tolist()) == (set(range(8)) - old) | {102, 103}  # new ones replace the old ones


def test_a_part_of_a_batch_fills_the_buffer():
    trick = Replay(images=6, fraction=0.5)
    trick.replay(numbered_images(0, 4))
    trick.replay(numbered_images(4, 4))
    assert sorted(trick.buffer.flatten().tolist()) == [0, 1, 2, 3, 4, 5]


def test_replay_changes_the_discriminator_loss_once_the_buffer_is_full(make_run):
    runs = [make_run(f"trick={trick}", *NARROW["mlp"]) for trick in ("[]", "[replay]")]
    runs[1].tricks.tricks[0].images = 8
    rows = [[loop.training_step(run) for _ in range(3)] for run in runs]
    assert rows[0][0] == rows[1][0] and rows[0][2]["discriminator/loss_fake"] != rows[1][2]["discriminator/loss_fake"]


@pytest.mark.parametrize(
    ("overrides", "setting"),
    [
        (["train.update=simultaneous"], "train.update=simultaneous"),
        (["trick=[replay,conditional]"], "trick=conditional"),
        (["trick.replay.fraction=0.01"], "trick.replay.fraction"),
        (["trick.replay.images=3"], "trick.replay.images"),
    ],
)
def test_settings_that_replay_does_not_go_with_are_a_config_error(make_run, overrides, setting):
    with pytest.raises(ConfigError, match=setting):
        make_run("trick=[replay]", *overrides, *NARROW["mlp"])


def test_replay_of_one_image_works_in_the_smallest_buffer(make_run):
    loop.training_step(make_run("trick=[replay]", "trick.replay.fraction=0.1", "trick.replay.images=1", *NARROW["mlp"]))
