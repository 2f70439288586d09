"""Feature matching."""

import pytest
import torch

from gan.training import loop
from gan.tricks.feature_matching import FeatureMatching
from tests.conftest import NARROW


def test_the_loss_is_the_squared_distance_of_the_mean_features():
    real, fake, loss = torch.tensor([[[[1.0, 3.0]]], [[[3.0, 3.0]]]]), torch.zeros(2, 1, 1, 2), torch.tensor(7.0)

    def total(fake, **options):
        trick = FeatureMatching(weight=2.0, **options)
        return trick.generator_loss(loss, lambda images: images.flatten(1), real, fake)

    assert total(fake) == 2 * (2**2 + 3**2)
    assert total(fake, adversarial_weight=0.5) == 26 + 3.5
    assert total(real.flip(0)) == 0


@pytest.mark.parametrize("update", ["discriminator_first", "simultaneous"])
def test_feature_matching_changes_the_update_of_the_generator_only(make_run, update):
    runs = [
        make_run(f"trick={trick}", f"train.update={update}", *NARROW["mlp"]) for trick in ("[]", "[feature_matching]")
    ]
    metrics = [loop.training_step(run) for run in runs]
    (plain_g, plain_d), (matched_g, matched_d) = ([player.parameters for player in run.players] for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(plain_d, matched_d, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(plain_g, matched_g, strict=True) if a.dim() > 1)
    assert metrics[0]["generator/loss"] != metrics[1]["generator/loss"]
