"""Gradient penalties, on discriminators whose gradient is known."""

import pytest
import torch

from gan.data.image_shape import ImageShape
from gan.losses import Hinge
from gan.step import Batch, step_discriminator
from gan.tricks.base import Tricks
from gan.tricks.gradient_penalty import R1, R2, Dragan, WganGp
from tests.conftest import NARROW, trick_context
from tests.test_step import flat_weights, make_players

REAL, FAKE = torch.rand(2, 6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
WEIGHTS = torch.tensor([3.0, 0.0, -4.0, 0.0])


def linear(images):
    """Logits whose gradient is WEIGHTS everywhere, with norm 5."""
    return images.flatten(1) @ WEIGHTS


def quadratic(images):
    """Logits whose gradient at x is x."""
    return images.flatten(1).square().sum(1) / 2


def test_r1_and_r2_of_linear_logits_are_the_squared_norm_of_the_weights():
    assert R1(gamma=0.2).penalties(linear, REAL, FAKE)["r1"].item() == pytest.approx(0.1 * 25)
    assert R2(gamma=0.2).penalties(linear, REAL, FAKE)["r2"].item() == pytest.approx(0.1 * 25)


def test_r1_is_computed_on_real_images_and_r2_on_fake_ones():
    squared_norm = {
        name: images.flatten(1).square().sum(1).mean().item() for name, images in (("r1", REAL), ("r2", FAKE))
    }
    assert squared_norm["r1"] != pytest.approx(squared_norm["r2"], rel=0.01)
    assert R1(gamma=2.0).penalties(quadratic, REAL, FAKE)["r1"].item() == pytest.approx(squared_norm["r1"], rel=1e-5)
    assert R2(gamma=2.0).penalties(quadratic, REAL, FAKE)["r2"].item() == pytest.approx(squared_norm["r2"], rel=1e-5)


@pytest.mark.parametrize("kind", [R1, R2])
def test_a_lazy_penalty_has_the_same_mean_and_is_not_computed_in_between(kind):
    trick, calls, penalties = kind(gamma=0.2, every=4), [], []
    for step in range(8):
        trick.begin_step(step)
        (penalty,) = trick.penalties(lambda images: calls.append(0) or linear(images), REAL, FAKE).values()
        penalties.append(penalty.item())
    assert len(calls) == 2 and penalties[1:4] == penalties[5:] == [0, 0, 0]
    assert sum(penalties) / len(penalties) == pytest.approx(0.1 * 25)


@pytest.mark.parametrize("trick", [WganGp(), Dragan()])
def test_a_gradient_norm_of_one_costs_nothing_and_another_its_squared_distance(trick):
    (penalty,) = trick.penalties(linear, REAL, FAKE).values()
    assert penalty.item() == pytest.approx(10 * (5 - 1) ** 2, rel=1e-5)
    (penalty,) = trick.penalties(lambda images: linear(images) / 5, REAL, FAKE).values()
    assert penalty.item() == pytest.approx(0, abs=1e-6)


def test_the_penalty_has_a_finite_gradient_where_the_gradient_norm_is_zero():
    scale = torch.zeros((), requires_grad=True)
    (penalty,) = WganGp().penalties(lambda images: scale * linear(images), REAL, FAKE).values()
    penalty.backward()
    assert penalty.item() == pytest.approx(10, rel=1e-4) and torch.isfinite(scale.grad)


def penalized_images(trick, real, fake, images_per_logit=1):
    """The images at which a penalty takes the gradient."""
    images = []

    def logits(x):
        images.append(x.detach())
        return linear(x).view(-1, images_per_logit).sum(1)

    trick.penalties(logits, real, fake)
    (penalized,) = images
    return penalized


def test_wgan_gp_is_computed_between_real_and_fake_images():
    between = penalized_images(WganGp(), torch.zeros(500, 1, 2, 2), torch.ones(500, 1, 2, 2))
    assert (between.flatten(1).std(1) < 1e-6).all()  # one random number for each image
    assert between.mean().item() == pytest.approx(0.5, abs=0.06) and between.min() >= 0 and between.max() <= 1


def test_dragan_is_computed_around_real_images():
    real = torch.randn(500, 1, 2, 2)
    distance = (penalized_images(Dragan(noise_scale=0.5), real, real) - real) / real.std()
    assert distance.min() >= 0 and distance.max() <= 0.5 and distance.mean().item() == pytest.approx(0.25, abs=0.02)


def test_wgan_gp_with_packing_has_one_random_number_for_each_pack():
    trick = WganGp()
    trick.check(trick_context(ImageShape(1, 2), 12, images_per_logit=3))
    between = penalized_images(trick, torch.zeros(12, 1, 2, 2), torch.ones(12, 1, 2, 2), images_per_logit=3)
    packs = between[:, 0, 0, 0].view(4, 3)
    assert (packs == packs[:, :1]).all() and len(set(packs[:, 0].tolist())) == 4


def test_a_penalty_is_part_of_the_discriminator_loss_and_logged():
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    batch, weights = Batch(images, torch.empty(6, 0)), []
    for tricks in (Tricks([]), Tricks([R1()])):
        players = make_players()
        metrics = step_discriminator(players, Hinge(), tricks, batch, -images)
        weights.append(flat_weights(players.discriminator))
    assert not torch.equal(*weights)
    terms = sum(metrics[f"discriminator/{name}"].item() for name in ("loss_real", "loss_fake", "r1"))
    assert metrics["discriminator/loss"].item() == pytest.approx(terms, rel=1e-5) and metrics["discriminator/r1"] > 0


@pytest.mark.parametrize("model", ["mlp", "residual"])
@pytest.mark.parametrize("trick", ["r1", "r2", "wgan_gp", "dragan"])
def test_a_penalty_is_the_same_in_bf16_up_to_rounding(make_run, trick, model):
    penalties, gradients = [], []
    for precision in ("fp32", "bf16"):
        dropout = ["model.discriminator.dropout=0"] if model == "mlp" else []
        run = make_run(f"precision={precision}", f"model={model}", f"trick=[{trick}]", *dropout, *NARROW[model])
        player, images = run.players.discriminator, torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(0)
        for weight in player.parameters:  # those that are initialized to 0 would not matter to the penalty
            weight.data += 0.05 * torch.randn_like(weight)
        player.update_copies()
        (penalty,) = run.tricks.penalties(player.uncompiled, images, -images).values()
        player.backward(penalty + 0 * player(images).sum())
        penalties.append(penalty.item())
        gradients.append(torch.cat([weight.grad.flatten() for weight in player.parameters]))
    assert penalties[1] == pytest.approx(penalties[0], rel=0.05)
    assert gradients[0].count_nonzero() > 0.9 * len(gradients[0])
    assert (gradients[1] - gradients[0]).norm() < 0.1 * gradients[0].norm()
