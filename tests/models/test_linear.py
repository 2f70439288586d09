"""The networks of the Dirac-GAN, whose every step can be computed by hand."""

import math

import pytest
import torch

from gan.data.image_shape import PointShape
from gan.models.linear import Discriminator, Generator
from gan.training import loop


def test_they_have_one_weight_each():
    generator, discriminator = Generator(PointShape(1), 5, start=0.5), Discriminator(PointShape(1), start=3.0)
    assert [weight.numel() for network in (generator, discriminator) for weight in network.parameters()] == [1, 1]
    assert torch.equal(generator(torch.randn(4, 5)), torch.full((4, 1), 0.5))
    assert torch.equal(discriminator(torch.tensor([[2.0], [-1.0]])), torch.tensor([6.0, -3.0]))


def test_points_of_two_numbers_have_two_weights():
    generator, discriminator = Generator(PointShape(2), 5, start=1.0), Discriminator(PointShape(2), start=2.0)
    assert discriminator(generator(torch.randn(3, 5))).tolist() == [4.0, 4.0, 4.0]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def state(run):
    theta, psi = (player.parameters[0].item() for player in run.players)
    return theta, psi


def test_points_do_not_change_with_the_weight():
    generator = Generator(PointShape(1), 5, start=0.5)
    points = generator(torch.randn(4, 5)).detach()
    with torch.no_grad():
        next(generator.parameters()).add_(1)
    assert points.tolist() == [[0.5]] * 4


@pytest.mark.parametrize("update", ["simultaneous", "discriminator_first", "generator_first"])
def test_a_step_of_the_dirac_gan_by_hand(make_run, update):
    """D minimizes log 2 + softplus(psi theta), G minimizes -softplus(psi theta): Mescheder et al. 2018, lemma 2.2."""
    reuse = f"train.reuse_fakes={str(update == 'generator_first').lower()}"  # G's points from before its update
    run = make_run("experiment=toy/dirac", "train.max_steps=10", "dataset.limit=null", f"train.update={update}", reuse)
    theta, psi, rate = 1.0, 1.0, 0.2
    for _ in range(3):
        loop.training_step(run)
        run.step += 1
        new_psi = psi - rate * theta * sigmoid(psi * theta)
        seen = new_psi if update == "discriminator_first" else psi
        theta, psi = theta + rate * seen * sigmoid(seen * theta), new_psi
        assert state(run) == pytest.approx((theta, psi), rel=1e-5)


@pytest.mark.parametrize(("experiment", "least", "most"), [("toy/dirac", 1.3, 1.45), ("toy/dirac_r1", 0, 0.05)])
def test_it_circles_without_a_penalty_and_converges_with_r1(make_run, experiment, least, most):
    run = make_run(f"experiment={experiment}", "train.max_steps=500", "train.batch_size=1", "dataset.limit=null")
    for _ in range(500):
        loop.training_step(run)
        run.step += 1
    assert least < math.hypot(*state(run)) < most
