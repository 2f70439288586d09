"""Unrolled GAN: G's gradient by hand, and what the trick leaves as it is."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from gan.config import check
from gan.config.errors import ConfigError
from gan.data.image_shape import PointShape
from gan.losses import Loss, Minimax, NonSaturating, Relativistic
from gan.models.base import Discriminator, Generator
from gan.models.linear import Discriminator as LinearD
from gan.training import loop
from gan.tricks.base import Trick, TrickContext, Tricks
from gan.tricks.gradient_penalty import R1
from gan.tricks.unrolled import Unrolled
from tests.conftest import composed, narrow

POINTS = ["dataset=ring8", "model=points", *narrow("points")]


def prepare(
    unrolled: Unrolled,
    discriminator: nn.Module,
    loss: Loss,
    *others: Trick,
    optimizer: torch.optim.Optimizer | None = None,
) -> Unrolled:
    """The trick at the beginning of a step. `optimizer` is D's."""
    settings = check.check_config(composed())
    generator = Generator(nn.Linear(2, 1), pixel_range=None)
    tricks = Tricks([unrolled, *others])
    context = TrickContext(PointShape(1), settings.train, settings.watch, loss, tricks, generator, discriminator)
    unrolled.check(context)
    unrolled.optimizer = optimizer
    unrolled.begin_step(0)
    return unrolled


def losses_of(unrolled, real, fake):
    return unrolled.generator_loss(torch.zeros(()), lambda images: images, real, fake)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_one_update_of_the_dirac_gan_by_hand():
    """psi' = psi - lr (theta sigmoid(psi theta) - x sigmoid(-psi x)) for a real x, and G's loss is minus D's at psi'."""
    theta, psi, rate, x = 0.7, 1.3, 0.5, 0.4
    unrolled = prepare(Unrolled(steps=1, lr=rate), LinearD(PointShape(1), start=psi), Minimax())
    fake = torch.full((3, 1), theta, requires_grad=True)
    loss = losses_of(unrolled, torch.full((3, 1), x), fake)
    (gradient,) = torch.autograd.grad(loss, fake)

    def by_hand(theta):
        ahead = psi - rate * (theta * sigmoid(psi * theta) - x * sigmoid(-psi * x))
        return -math.log(1 + math.exp(ahead * theta)) - math.log(1 + math.exp(-ahead * x))

    assert loss.item() == pytest.approx(by_hand(theta), rel=1e-6)
    derivative = (by_hand(theta + 1e-5) - by_hand(theta - 1e-5)) / 2e-5
    assert gradient.sum().item() == pytest.approx(derivative, rel=1e-4)
    ahead = psi - rate * (theta * sigmoid(psi * theta) - x * sigmoid(-psi * x))
    without_the_updates = -sigmoid(ahead * theta) * ahead
    assert gradient.sum().item() != pytest.approx(without_the_updates, rel=0.1)


@pytest.mark.parametrize("loss", [NonSaturating(), Relativistic()])
def test_the_loss_is_that_of_a_discriminator_after_as_many_updates(loss):
    discriminator = Discriminator(nn.Sequential(nn.Linear(1, 8), nn.Tanh()), nn.Linear(8, 1))
    real, fake = torch.randn(2, 6, 1).unbind()
    found = losses_of(prepare(Unrolled(steps=3, lr=0.3), discriminator, loss), real, fake)
    ahead = copy.deepcopy(discriminator)
    optimizer = torch.optim.SGD(ahead.parameters(), lr=0.3)
    for _ in range(3):
        optimizer.zero_grad()
        loss(ahead(real), ahead(fake)).backward()
        optimizer.step()
    expected = loss.generator(ahead(real) if loss.generator_sees_real else None, ahead(fake))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("earlier", [0, 3])
def test_without_a_learning_rate_the_updates_are_those_of_the_adam_of_the_discriminator(earlier):
    """From where it is after `earlier` updates; it stays there itself."""
    discriminator = Discriminator(nn.Sequential(nn.Linear(1, 8), nn.ReLU()), nn.Linear(8, 1))
    real, fake = torch.randn(2, 6, 1).unbind()
    loss, optimizer = NonSaturating(), torch.optim.Adam(discriminator.parameters(), 0.1, (0.5, 0.9), weight_decay=0.1)

    def update(discriminator, optimizer):
        optimizer.zero_grad()
        loss(discriminator(real), discriminator(fake)).backward()
        optimizer.step()

    for _ in range(earlier):
        update(discriminator, optimizer)
    unrolled = prepare(Unrolled(steps=3, lr=None), discriminator, loss, optimizer=optimizer)
    before = copy.deepcopy(optimizer.state_dict())
    fake.requires_grad_()
    found = losses_of(unrolled, real, fake)
    (gradient,) = torch.autograd.grad(found, fake)
    assert gradient.isfinite().all() and gradient.any()
    assert str(optimizer.state_dict()) == str(before)
    ahead, fake = copy.deepcopy(discriminator), fake.detach()
    its_optimizer = torch.optim.Adam(ahead.parameters())
    its_optimizer.load_state_dict(before)
    for _ in range(3):
        update(ahead, its_optimizer)
    assert found.item() == pytest.approx(loss.generator(None, ahead(fake)).item(), rel=1e-5)


def test_the_gradient_through_adam_is_that_of_finite_differences():
    discriminator = Discriminator(nn.Sequential(nn.Linear(1, 4), nn.Tanh()), nn.Linear(4, 1)).double()
    optimizer = torch.optim.Adam(discriminator.parameters(), 0.1)
    real, fake = torch.randn(2, 3, 1, dtype=torch.float64).unbind()
    NonSaturating()(discriminator(real), discriminator(fake)).backward()
    optimizer.step()
    unrolled = prepare(Unrolled(steps=2, lr=None), discriminator, Minimax(), optimizer=optimizer)
    assert torch.autograd.gradcheck(lambda fake: losses_of(unrolled, real, fake), fake.requires_grad_())


@pytest.mark.parametrize(
    "optimizer", [torch.optim.AdamW, partial(torch.optim.Adam, amsgrad=True), partial(torch.optim.Adam, maximize=True)]
)
def test_other_updates_than_those_of_adam_are_not_imitated(make_run, optimizer):
    run = make_run(*POINTS, "trick=[]")
    run.players.discriminator.optimizer = optimizer(run.players.discriminator.parameters)
    with pytest.raises(ConfigError, match=r"^trick\.unrolled\.lr=null [^\n]*\.$"):
        Unrolled(lr=None).begin_training(run.players)


def test_without_a_learning_rate_it_needs_adam(make_run):
    with pytest.raises(ConfigError, match=r"^trick\.unrolled\.lr=null [^\n]*SGD[^\n]*\.$"):
        make_run(*POINTS, "optim=sgd", "trick=[unrolled]", "trick.unrolled.lr=null")


def test_the_updates_have_the_penalties_of_other_tricks():
    discriminator = Discriminator(nn.Sequential(nn.Linear(1, 8), nn.Tanh()), nn.Linear(8, 1))
    real, fake = torch.randn(2, 6, 1).unbind()
    plain, penalized = (
        losses_of(prepare(Unrolled(steps=1, lr=0.1), discriminator, NonSaturating(), *tricks), real, fake)
        for tricks in ([], [R1(gamma=10.0)])
    )
    assert plain.item() != penalized.item()


def test_the_discriminator_stays_as_it_is():
    layers = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh())
    discriminator = Discriminator(layers, nn.Linear(8, 1))
    unrolled = prepare(Unrolled(steps=2, lr=0.3), discriminator, NonSaturating())
    before = copy.deepcopy(discriminator.state_dict())
    losses_of(unrolled, *torch.randn(2, 6, 1).unbind())
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in discriminator.parameters())


def test_a_weight_that_is_not_trained_is_not_unrolled():
    discriminator = Discriminator(nn.Linear(1, 8), nn.Linear(8, 1))
    discriminator.features[0].weight.requires_grad_(False)
    assert "features.0.weight" not in prepare(Unrolled(), discriminator, NonSaturating()).trained


@pytest.mark.parametrize("update", ["discriminator_first", "generator_first", "simultaneous"])
def test_it_changes_the_update_of_the_generator_alone(make_run, update):
    runs = [make_run(*POINTS, f"train.update={update}", f"trick=[{trick}]") for trick in ("", "unrolled")]
    for run in runs:
        loop.training_step(run)
    (plain_g, plain_d), (unrolled_g, unrolled_d) = (
        [torch.cat([weight.detach().flatten() for weight in player.parameters]) for player in run.players]
        for run in runs
    )
    assert not torch.equal(plain_g, unrolled_g)
    assert torch.equal(plain_d, unrolled_d) or update == "generator_first"  # D then sees the images of another G


@pytest.mark.parametrize("other", ["conditional", "feature_matching"])
def test_what_does_not_go_with_it_is_one_sentence(make_run, other):
    for names in ([other, "unrolled"], ["unrolled", other]):
        with pytest.raises(ConfigError, match=rf"^trick=unrolled[^\n]*{other}[^\n]*\.$"):
            make_run(*POINTS, f"trick=[{','.join(names)}]")
