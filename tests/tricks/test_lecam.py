"""LeCam regularization."""

import pytest
import torch

from gan.training import loop
from gan.tricks.lecam import LeCam
from tests.conftest import NARROW


def terms(trick, real, fake):
    return trick.discriminator_terms(None, None, None, (torch.tensor(real), torch.tensor(fake)))["lecam"].item()


def test_each_logit_is_pulled_toward_the_moving_average_of_the_other_kind():
    trick = LeCam(weight=0.5, decay=0.75)
    # The averages begin with the first batch: 2 and -1. Real: (1+1)^2 = 4, (3+1)^2 = 16; fake: (-1-2)^2 = 9 twice.
    assert terms(trick, [1.0, 3.0], [-1.0, -1.0]) == pytest.approx(0.5 * (10 + 9))
    # 3/4 of 2 and 1/4 of 6 are 3; 3/4 of -1 and 1/4 of 3 are 0. Real: 6^2; fake: (3-3)^2.
    assert terms(trick, [6.0, 6.0], [3.0, 3.0]) == pytest.approx(0.5 * 36)
    assert trick.anchors.tolist() == [3.0, 0.0]


def test_the_gradient_pulls_real_logits_down_and_fake_ones_up():
    real, fake = torch.tensor([2.0], requires_grad=True), torch.tensor([-2.0], requires_grad=True)
    LeCam(weight=1.0).discriminator_terms(None, None, None, (real, fake))["lecam"].backward()
    assert real.grad.item() == pytest.approx(8) and fake.grad.item() == pytest.approx(-8)  # 2 (2 + 2)


def test_it_is_logged_and_part_of_the_loss_of_d(make_run):
    runs = [make_run(f"trick=[{trick}]", *NARROW["mlp"]) for trick in ("", "lecam")]
    plain, metrics = map(loop.training_step, runs)
    assert metrics["discriminator/lecam"] > 0
    total = plain["discriminator/loss"] + metrics["discriminator/lecam"]
    assert metrics["discriminator/loss"].item() == pytest.approx(total.item(), rel=1e-5)
