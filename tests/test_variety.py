"""Tricks against fakes that are all alike, on numbers worked out by hand."""

import math

import pytest
import torch
from torch import nn

from gan.config.errors import ConfigError
from gan.data.image_shape import ImageShape
from gan.models import layers
from gan.training import loop
from gan.tricks.base import Tricks
from gan.tricks.layer_edits import append, widen
from gan.tricks.slope import R1, GradientPenalty
from gan.tricks.variety import Closeness, FeatureMatching, MinibatchStddev, Pack, Packing, Replay, Spread
from tests.conftest import NARROW, game


def numbered(first, count):
    """Images that can be told apart."""
    return torch.arange(first, first + count).float().view(-1, 1, 1, 1)


def test_replay_shows_new_fakes_until_it_has_kept_enough_and_then_its_share_of_old_ones():
    trick = Replay(images=8, fraction=0.5)
    for step in range(2):
        fake = numbered(4 * step, 4)
        assert torch.equal(trick.recall(fake), fake)
    seen = trick.recall(numbered(100, 4)).flatten().tolist()
    assert seen[:2] == [100, 101] and len(set(seen[2:])) == 2 and set(seen[2:]) < set(range(8))
    kept = set(trick.kept.flatten().tolist())
    assert kept == (set(range(8)) - set(seen[2:])) | {102, 103}  # what was shown has left


def test_replay_fills_its_last_places_from_a_part_of_a_batch():
    trick = Replay(images=6, fraction=0.5)
    trick.recall(numbered(0, 4))
    trick.recall(numbered(4, 4))
    assert sorted(trick.kept.flatten().tolist()) == [0, 1, 2, 3, 4, 5]


def test_replay_changes_what_d_learns_and_not_what_g_draws(make_run):
    runs = [make_run(f"trick={trick}", *NARROW["mlp"]) for trick in ("[]", "[replay]")]
    runs[1].tricks.tricks[0].images = 8
    rows = [[loop.update(run) for _ in range(3)] for run in runs]
    assert rows[0][0] == rows[1][0] and rows[0][2]["discriminator/loss_fake"] != rows[1][2]["discriminator/loss_fake"]


def test_the_spread_of_a_group_is_the_mean_deviation_of_its_features():
    features = torch.tensor([[1.0, 5.0], [3.0, 5.0], [0.0, 0.0], [0.0, 8.0]])  # two groups of two
    seen = Spread(2)(features)
    assert torch.equal(seen[:, :2], features)
    assert seen[:, 2].tolist() == pytest.approx([0.5, 0.5, 2.0, 2.0], abs=1e-3)  # (1 + 0) / 2 and (0 + 4) / 2


def test_maps_get_the_spread_as_a_map():
    seen = Spread(2)(torch.arange(2.0).view(2, 1, 1, 1).expand(2, 3, 4, 4))
    assert seen.shape == (2, 4, 4, 4) and torch.allclose(seen[:, 3], torch.tensor(0.5), atol=1e-4)


def test_images_that_are_alike_are_close_and_others_are_not():
    layer = Closeness(inputs=3, kernels=2, dims=1)
    nn.init.constant_(layer.project.weight, 1.0)
    features = torch.tensor([[0.0, 0, 0], [0, 0, 0], [math.log(2), 0, 0], [99, 0, 0]])
    seen = layer(features)[:, 3:]
    expected = torch.tensor([1 + 0.5, 1 + 0.5, 0.5 + 0.5, 0.0]) / 3  # exp(-distance), its mean over the others
    assert torch.allclose(seen, expected[:, None].expand(4, 2), atol=1e-5)


@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv_logit_norm", "maxout"])
@pytest.mark.parametrize("trick", ["minibatch_stddev", "minibatch_discrimination"])
def test_d_notices_that_fakes_are_all_alike(make_run, model, trick):
    narrow = NARROW[model.split("_")[0]]
    run = make_run(f"model={model}", f"trick=[{trick}]", "dataset.image_size=16", *narrow)
    discriminator = run.players.discriminator.network.eval()
    one = torch.randn(1, 1, 16, 16).expand(8, -1, -1, -1)
    other = torch.cat([one[:1], torch.randn(7, 1, 16, 16)])
    assert not torch.allclose(discriminator(one)[0], discriminator(other)[0])  # the same image in other company


def test_feature_matching_is_the_squared_distance_of_mean_features():
    def features(images):
        return images.flatten(1)

    real, fake, loss = torch.tensor([[[[1.0, 3.0]]], [[[3.0, 3.0]]]]), torch.zeros(2, 1, 1, 2), torch.tensor(7.0)
    assert FeatureMatching(weight=2.0, adversarial_weight=0.0).guide(loss, features, real, fake) == 2 * (2**2 + 3**2)
    assert FeatureMatching(weight=2.0, adversarial_weight=0.5).guide(loss, features, real, fake) == 26 + 3.5
    assert FeatureMatching(weight=2.0, adversarial_weight=0.0).guide(loss, features, real, real.flip(0)) == 0


@pytest.mark.parametrize("update", ["discriminator_first", "simultaneous"])
def test_feature_matching_moves_g_alone(make_run, update):
    runs = [
        make_run(f"trick={trick}", f"train.update={update}", *NARROW["mlp"]) for trick in ("[]", "[feature_matching]")
    ]
    numbers = [loop.update(run) for run in runs]
    (plain_g, plain_d), (matched_g, matched_d) = ([player.parameters for player in run.players] for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(plain_d, matched_d, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(plain_g, matched_g, strict=True) if a.dim() > 1)
    assert numbers[0]["generator/loss"] != numbers[1]["generator/loss"]


def test_a_pack_is_its_images_one_upon_the_other():
    images = torch.randn(6, 3, 4, 4)
    packed = Pack(2)(images)
    assert packed.shape == (3, 6, 4, 4)
    assert torch.equal(packed[1], torch.cat([images[2], images[3]]))


@pytest.mark.parametrize("model", ["mlp", "dcgan", "conv", "maxout", "residual"])
def test_a_packed_d_judges_packs(make_run, model):
    run = make_run(
        f"model={model}", "trick=[packing]", "trick.packing.images=4", "dataset.image_size=16", *NARROW[model]
    )
    discriminator = run.players.discriminator.network.eval()
    images = torch.randn(8, 1, 16, 16)
    logits = discriminator(images)
    changed = images.clone()
    changed[5] += 1
    assert logits.shape == (2,)
    assert torch.equal(discriminator(changed)[0], logits[0]) and discriminator(changed)[1] != logits[1]
    assert {"discriminator/loss", "generator/loss"} <= loop.update(run).keys()


def test_the_slope_of_a_packed_d_is_that_of_the_whole_pack():
    discriminator = layers.Judge([nn.Flatten()], [nn.Linear(4, 1)], "default", 1.0)
    discriminator.features.append(nn.Linear(4, 4, bias=False))
    nn.init.eye_(discriminator.features[1].weight)
    Packing(images=2).prepare_discriminator(discriminator, ImageShape(1, 2))
    first, last = discriminator.features[2].weight, discriminator.logit[0].weight
    expected = (last @ first).square().sum().item()  # of all 8 pixels of a pack
    found = R1(gamma=2.0, every=1).penalties(discriminator, torch.randn(6, 1, 2, 2), torch.randn(6, 1, 2, 2))["r1"]
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_wgan_gp_looks_on_the_line_between_two_packs():
    seen = []

    def judge(images):
        seen.append(images.detach())
        return images.flatten(1).sum(1).view(-1, 3).sum(1)

    trick = GradientPenalty(weight=1.0)
    trick.check(game(ImageShape(1, 2), 12, images_per_logit=3))
    trick.penalties(judge, torch.zeros(12, 1, 2, 2), torch.ones(12, 1, 2, 2))
    shares = seen[0][:, 0, 0, 0].view(4, 3)
    assert (shares == shares[:, :1]).all() and len(set(shares[:, 0].tolist())) == 4


@pytest.mark.parametrize(
    "layer", [nn.Linear(6, 5), nn.Conv2d(6, 5, 3, padding=1), nn.ConvTranspose2d(6, 5, 4, stride=2, padding=1)]
)
def test_a_widened_layer_says_the_same_where_nothing_is_new(layer):
    inputs = torch.randn(2, 6) if isinstance(layer, nn.Linear) else torch.randn(2, 6, 4, 4)
    before = layer(inputs)
    widen(layer, 3)
    assert torch.allclose(layer(append(inputs, torch.zeros(2, 3))), before, atol=1e-6)
    assert not torch.allclose(layer(append(inputs, torch.ones(2, 3))), before, atol=1e-3)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (["trick=[replay]", "train.update=simultaneous"], "other fakes than G's own"),
        (["trick=[replay,conditional]"], "fakes without their classes"),
        (["trick=[replay]", "trick.replay.fraction=0.01"], "of a batch of 8 is 0 images"),
        (["trick=[packing]", "trick.packing.images=3"], r"packing.images=3 does not fit train.batch_size=8"),
        (["trick=[packing]", "trick.packing.images=1"], "2 or more"),
        (["trick=[packing,conditional]"], "one logit for images of several classes"),
        (
            ["trick=[minibatch_stddev]", "trick.minibatch_stddev.group_size=3"],
            "minibatch_stddev.group_size=3 does not fit the 8",
        ),
        (["trick=[packing,minibatch_stddev]", "trick.packing.images=4"], "group_size=4 does not fit the 2"),
    ],
)
def test_what_cannot_be_is_refused(make_run, chosen, reason):
    with pytest.raises(ConfigError, match=reason):
        make_run(*chosen, *NARROW["mlp"])


def test_no_trick_changes_nothing():
    tricks, images = Tricks([MinibatchStddev(group_size=4)]), torch.randn(2, 1, 4, 4)
    assert tricks.recall(images) is images and tricks.show(images) is images
