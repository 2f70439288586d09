"""Losses at values worked out by hand."""

import math

import pytest
import torch

from gan.losses import Hinge, LeastSquares, Minimax, NonSaturating, Relativistic, Wasserstein

LOSSES = {kind: kind(terms="sum", real_target=1.0, fake_target=0.0) for kind in (NonSaturating, Minimax)}
LOSSES[LeastSquares] = LeastSquares(terms="sum", real_target=1.0, fake_target=0.0, generator_target=1.0)
LOSSES |= {kind: kind(terms="sum") for kind in (Hinge, Wasserstein, Relativistic)}


def close(value, expected):
    return float(torch.as_tensor(value).detach()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [LOSSES[NonSaturating], LOSSES[Minimax]], ids=lambda loss: type(loss).__name__)
def test_an_undecided_discriminator_costs_two_log_two(loss):
    logits = torch.zeros(5)
    assert close(loss.total(loss.discriminator(logits, logits)), 2 * math.log(2))


def test_the_mean_of_the_terms_is_half_their_sum():
    half = NonSaturating(terms="mean", real_target=1.0, fake_target=0.0)
    assert close(half.total(half.discriminator(torch.zeros(5), torch.zeros(5))), math.log(2))


def test_each_term_looks_at_its_own_images():
    terms = LOSSES[NonSaturating].discriminator(torch.tensor([2.0, 0.0]), torch.tensor([-1.0]))
    assert close(terms["loss_real"], (math.log(1 + math.exp(-2)) + math.log(2)) / 2)
    assert close(terms["loss_fake"], math.log(1 + math.exp(-1)))


def test_the_generator_minimises_minus_log_d_when_it_does_not_saturate():
    fake = torch.tensor([math.log(3.0)])  # D(G(z)) = 3/4
    assert close(LOSSES[NonSaturating].generator(None, fake), -math.log(0.75))


def test_the_generator_minimises_log_one_minus_d_in_the_minimax_game():
    fake = torch.tensor([math.log(3.0)])
    assert close(LOSSES[Minimax].generator(None, fake), math.log(0.25))


@pytest.mark.parametrize(
    ("kind", "slope"), [(NonSaturating, -1 / (1 + math.exp(-8))), (Minimax, -1 / (1 + math.exp(8)))]
)
def test_only_the_minimax_generator_stops_learning_where_d_is_sure(kind, slope):
    fake = torch.tensor([-8.0], requires_grad=True)
    LOSSES[kind].generator(None, fake).backward()
    assert fake.grad.item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: type(loss).__name__)
def test_the_discriminator_wants_real_up_and_fake_down_and_the_generator_fake_up(loss):
    real, fake = torch.full((3,), 0.5, requires_grad=True), torch.full((3,), 0.5, requires_grad=True)
    loss.total(loss.discriminator(real, fake)).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    loss.generator(real.detach(), fake).backward()
    assert (fake.grad < 0).all()


def test_a_smoothed_target_is_best_met_at_that_probability():
    smooth = NonSaturating(terms="sum", real_target=0.9, fake_target=0.0)
    real = torch.tensor([math.log(9.0)], requires_grad=True)  # D(x) = 0.9
    terms = smooth.discriminator(real, torch.zeros(1))
    terms["loss_real"].backward()
    assert close(terms["loss_real"], -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)))
    assert close(real.grad, 0)


def test_smoothing_leaves_the_generators_loss_alone():
    smooth = NonSaturating(terms="sum", real_target=0.9, fake_target=(0.0, 0.3))
    fake = torch.randn(9)
    assert torch.equal(smooth.generator(None, fake), LOSSES[NonSaturating].generator(None, fake))


def test_soft_targets_are_drawn_for_each_image_within_their_range():
    soft = NonSaturating(terms="sum", real_target=(0.7, 1.0), fake_target=0.0)
    # At logit 1 the cross-entropy is softplus(1) - target: it gives the targets away.
    draws = [
        math.log(1 + math.e) - float(soft.discriminator(torch.ones(1), torch.zeros(1))["loss_real"]) for _ in range(200)
    ]
    assert 0.7 - 1e-6 <= min(draws) < 0.75 and 0.95 < max(draws) <= 1 + 1e-6


def test_least_squares_pulls_each_score_to_its_number():
    loss = LeastSquares(terms="sum", real_target=1.0, fake_target=0.0, generator_target=1.0)
    terms = loss.discriminator(torch.tensor([3.0, 1.0]), torch.tensor([-1.0]))
    assert close(terms["loss_real"], (4 + 0) / 2 / 2) and close(terms["loss_fake"], 1 / 2)
    half = torch.full((4,), 0.5)
    assert close(loss.total(loss.discriminator(half, half)), 1 / 4)
    fake = torch.tensor([-2.0, 1.0], requires_grad=True)
    total = loss.generator(None, fake)
    total.backward()
    assert close(total, 9 / 2 / 2) and fake.grad.tolist() == [-1.5, 0.0]  # at its target G wants nothing


def test_least_squares_has_the_papers_first_numbers_too(make_run):
    """Equation 8: -1 for fakes, 1 for real images, and G wants 0."""
    run = make_run("loss=least_squares", "loss.fake_target=-1", "loss.generator_target=0")
    terms = run.loss.discriminator(torch.tensor([1.0]), torch.tensor([2.0]))
    assert close(terms["loss_real"], 0) and close(terms["loss_fake"], 9 / 2)
    assert close(run.loss.generator(None, torch.tensor([2.0])), 2)


def test_hinge_asks_nothing_beyond_one():
    loss = LOSSES[Hinge]
    real, fake = torch.tensor([2.0, 0.25], requires_grad=True), torch.tensor([-3.0, 0.5], requires_grad=True)
    terms = loss.discriminator(real, fake)
    assert close(terms["loss_real"], 0.75 / 2) and close(terms["loss_fake"], 1.5 / 2)
    loss.total(terms).backward()
    assert real.grad.tolist() == [0.0, -0.5] and fake.grad.tolist() == [0.0, 0.5]
    assert close(loss.generator(None, torch.tensor([2.0, -1.0])), -0.5)
    assert close(loss.total(loss.discriminator(torch.zeros(3), torch.zeros(3))), 2)


def test_wasserstein_is_the_difference_of_the_means():
    terms = LOSSES[Wasserstein].discriminator(torch.tensor([3.0, 1.0]), torch.tensor([-4.0]))
    assert close(LOSSES[Wasserstein].total(terms), -2 - 4)
    assert close(LOSSES[Wasserstein].generator(None, torch.tensor([-4.0])), 4)


def test_relativistic_compares_a_real_image_with_the_fake_beside_it():
    real, fake = torch.tensor([1.0, 0.0], requires_grad=True), torch.tensor([0.0, math.log(3.0)], requires_grad=True)
    terms = LOSSES[Relativistic].discriminator(real, fake)
    assert close(terms["loss_pairs"], (math.log(1 + math.exp(-1)) + math.log(4)) / 2)
    assert close(LOSSES[Relativistic].generator(real, fake), (math.log(1 + math.e) + math.log(4 / 3)) / 2)
    terms["loss_pairs"].backward()
    assert real.grad[1].item() == pytest.approx(-0.75 / 2) and fake.grad[1].item() == pytest.approx(0.75 / 2)
    same = torch.randn(6)
    assert close(LOSSES[Relativistic].generator(same, same), math.log(2))
    assert close(LOSSES[Relativistic].generator(real + 5, fake + 5), LOSSES[Relativistic].generator(real, fake).item())
