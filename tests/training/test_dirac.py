"""The Dirac-GAN: Jacobians computed by hand, the paper's eigenvalues, and runs of the project's own step."""

import numpy as np
import pytest
import torch
from torch import nn

from gan.losses import Hinge, LeastSquares, Minimax, NaiveLog, NonSaturating, Relativistic, Wasserstein
from gan.models.base import Discriminator, Generator
from gan.numerics import NonFiniteGuard
from gan.optim import sgd
from gan.player import Player, Players
from gan.step import Batch, step
from gan.training.dirac import (
    DiracGAN,
    can_analyze,
    classify_field,
    classify_path,
    classify_step,
    paper_verdict,
)
from gan.tricks.base import Tricks
from gan.tricks.failures import TrackFailures
from gan.tricks.feature_matching import FeatureMatching
from gan.tricks.gradient_penalty import R1, R2, Dragan, WganGp
from gan.tricks.lecam import LeCam
from gan.tricks.minibatch import Packing
from gan.tricks.noise import InstanceNoise
from gan.tricks.replay import Replay
from gan.tricks.spectral_norm import SpectralNorm

UPDATES = ["discriminator_first", "generator_first", "simultaneous"]
IMAGES = 256  # in a batch


def make_game(loss, *tricks, lr=0.2, **keys):
    """A game, with the same learning rate for both players if there is one number."""
    return DiracGAN(loss=loss, tricks=Tricks(list(tricks)), lr=(lr, lr) if isinstance(lr, float) else lr, **keys)


def name_of(loss):
    """The name of a loss in a test's."""
    return type(loss).__name__


class Theta(Generator):
    """G(z) = theta."""

    def __init__(self, theta):
        super().__init__(nn.Identity())
        self.theta = nn.Parameter(torch.tensor(theta))

    def forward(self, noise, labels=None):
        return self.theta * torch.ones(len(noise), 1, 1, 1)  # no view of theta, which changes


class Psi(Discriminator):
    """D(x) = psi x."""

    def __init__(self, psi):
        super().__init__(nn.Flatten(), nn.Linear(1, 1, bias=False))
        nn.init.constant_(self.logit[0].weight, psi)


def train(game, start, steps, seed=0):
    """The path (steps + 1, 2) of the project's own step with SGD."""
    torch.manual_seed(seed)
    guard = NonFiniteGuard(torch.device("cpu"))
    networks = Theta(start[0]), Psi(start[1])
    clips = None, game.weight_clip
    optimizers = [
        sgd(network.parameters(), lr=lr, momentum=0.0, nesterov=False, weight_decay=0.0)
        for network, lr in zip(networks, game.lr, strict=True)
    ]
    players = Players(
        *(
            Player(*pair, {}, guard, "fp32", weight_clip=clip)
            for *pair, clip in zip(networks, optimizers, clips, strict=True)
        )
    )
    zeros = torch.zeros(IMAGES, 1, 1, 1)
    batches = [Batch(zeros, zeros.flatten(1))] * (game.discriminator_steps + 1)
    path = [start]
    for _ in range(steps):
        step(players, game.loss, game.tricks, game.update, game.reuse_fakes, batches)
        path.append(tuple(weight.item() for player in players for weight in player.parameters))
    return np.array(path)


HALF = [[0, 0.5], [-0.5, 0]]  # f'(0) = sigmoid(0) = 1/2 of the logistic loss
JACOBIANS = {
    "minimax": (Minimax(), [], HALF),
    "non-saturating": (NonSaturating(), [], HALF),
    "probabilities": (NaiveLog(), [], HALF),
    "pairs": (Relativistic(), [], HALF),
    "mean of terms": (Minimax(terms="mean"), [], [[0, 0.5], [-0.25, 0]]),
    "fake target 0.2": (Minimax(fake_target=0.2), [], [[0, 0.5], [-0.3, 0]]),
    "wasserstein": (Wasserstein(), [], [[0, 1], [-1, 0]]),
    "hinge": (Hinge(), [], [[0, 1], [-1, 0]]),
    "least squares": (LeastSquares(), [], [[0, 1], [0, 0]]),  # D's loss (psi theta)^2 / 2 is flat at the equilibrium
    "least squares, -1 and 1": (LeastSquares(fake_target=-1.0), [], [[0, 1], [-1, 0]]),
    "R1": (Minimax(), [R1(gamma=0.6)], [[0, 0.5], [-0.5, -0.6]]),
    "R2": (NonSaturating(), [R2(gamma=0.6)], [[0, 0.5], [-0.5, -0.6]]),
    "R1 and R2": (Wasserstein(), [R1(gamma=0.6), R2(gamma=0.2)], [[0, 1], [-1, -0.8]]),
    # -2 f''(0) std^2 of both terms of D's loss, with f''(0) = -1/4
    "instance noise": (Minimax(), [InstanceNoise(std=0.7)], [[0, 0.5], [-0.5, -(0.7**2) / 2]]),
    "instance noise, wasserstein": (Wasserstein(), [InstanceNoise(std=0.7)], [[0, 1], [-1, 0]]),
}


@pytest.mark.parametrize("name", JACOBIANS)
def test_the_jacobian_at_the_equilibrium_is_that_computed_by_hand(name):
    loss, tricks, expected = JACOBIANS[name]
    game = make_game(loss, *tricks)
    assert game.field_jacobian() == pytest.approx(np.array(expected, dtype=float), abs=1e-12)
    assert game.field(np.zeros((1, 2))) == pytest.approx(np.zeros((1, 2)), abs=1e-12)


def test_the_jacobian_away_from_the_equilibrium_is_that_computed_by_hand():
    # theta' = s psi and psi' = -s theta with s = sigmoid(theta psi), whose derivative is s (1 - s)
    s = 1 / (1 + np.exp(-2))
    derivative = s * (1 - s)
    expected = [[derivative * 4, s + derivative * 2], [-s - derivative * 2, -derivative]]
    assert make_game(Minimax()).field_jacobian((1.0, 2.0)) == pytest.approx(np.array(expected))


def test_the_field_is_that_computed_by_hand_at_each_of_several_points():
    points = np.array([[1.0, 1.0], [-2.0, 0.5], [0.0, -1.5]])
    theta, psi = points.T
    s = 1 / (1 + np.exp(-theta * psi))
    assert make_game(Minimax()).field(points) == pytest.approx(np.stack([s * psi, -s * theta], axis=1))
    assert make_game(NonSaturating()).field(points) == pytest.approx(np.stack([(1 - s) * psi, -s * theta], axis=1))
    toward_one = np.stack([psi, -theta - 2 * 0.35 * (np.abs(psi) - 1) * np.sign(psi)], axis=1)
    for trick in (WganGp(weight=0.35), Dragan(weight=0.35)):
        assert make_game(Wasserstein(), trick).field(points) == pytest.approx(toward_one)


@pytest.mark.parametrize("h", [1e-3, 0.2, 1.0, 3.0, 5.0])
def test_the_eigenvalues_without_a_penalty_are_the_papers(h):
    game = make_game(Minimax(), lr=h, update="simultaneous")
    found = sorted(game.step_eigenvalues(), key=lambda value: value.imag)
    assert found == pytest.approx([1 - 0.5j * h, 1 + 0.5j * h])
    assert classify_step(game.step_eigenvalues()) == "diverges"

    alpha = h / 2
    root = np.emath.sqrt((1 - alpha**2 / 2) ** 2 - 1)
    expected = np.array([1 - alpha**2 / 2 - root, 1 - alpha**2 / 2 + root])
    for update in ("discriminator_first", "generator_first"):
        found = make_game(Minimax(), lr=h, update=update).step_eigenvalues()
        assert np.sort_complex(found) == pytest.approx(np.sort_complex(expected))
        assert classify_step(found) == ("circles" if alpha <= 2 else "diverges")


def test_several_updates_of_d_act_as_a_larger_learning_rate():
    eigenvalues = make_game(Minimax(), lr=0.2, discriminator_steps=4).step_eigenvalues()
    alpha = np.sqrt(4) * 0.2 / 2
    assert eigenvalues.real == pytest.approx(1 - alpha**2 / 2) and np.abs(eigenvalues) == pytest.approx(1)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("trick", [R1, R2])
def test_the_eigenvalues_with_a_gradient_penalty_are_the_papers(gamma, trick):
    game = make_game(NonSaturating(), trick(gamma=gamma), update="simultaneous")
    root = np.emath.sqrt(gamma**2 / 4 - 1 / 4)
    expected = np.sort_complex(np.array([-gamma / 2 - root, -gamma / 2 + root], dtype=complex))
    found = np.sort_complex(game.field_eigenvalues())
    assert found == pytest.approx(expected, abs=1e-7)  # at gamma = 1 they are equal, and as exact as a square root
    assert classify_field(found) == "converges"
    assert np.sort_complex(game.step_eigenvalues()) == pytest.approx(1 + 0.2 * expected, abs=1e-7)
    assert classify_step(game.step_eigenvalues()) == "converges"


def test_a_learning_rate_too_large_for_its_penalty_diverges():
    game = make_game(NonSaturating(), R1(gamma=10.0), lr=0.21)
    assert classify_field(game.field_eigenvalues()) == "converges"
    assert classify_step(game.step_eigenvalues()) == "diverges"


@pytest.mark.parametrize("std", [0.1, 0.7])
def test_the_eigenvalues_with_instance_noise_are_the_papers(std):
    derivative = -(std**2) / 4
    root = np.emath.sqrt(derivative**2 - 1 / 4)
    found = make_game(Minimax(), InstanceNoise(std=std)).field_eigenvalues()
    assert np.sort_complex(found) == pytest.approx(np.sort_complex(np.array([derivative - root, derivative + root])))


@pytest.mark.parametrize("trick", [WganGp(), Dragan()])
def test_a_penalty_with_a_kink_has_no_eigenvalues(trick):
    game = make_game(Wasserstein(), trick, InstanceNoise())
    assert game.step_eigenvalues() is None and game.field_eigenvalues() is None
    above, below = game.field(np.array([[0, 1e-3], [0, -1e-3]]))[:, 1]
    assert above > 1 and below < -1  # away from 0 on either side


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("loss", [Minimax(), NonSaturating(), Hinge(), Relativistic(), LeastSquares()], ids=name_of)
@pytest.mark.parametrize(
    "tricks", [[], [R1(gamma=0.5), R2(gamma=0.25)], [WganGp(weight=0.5)]], ids=["none", "r1", "gp"]
)
def test_a_step_is_that_of_the_project(update, loss, tricks):
    steps = 1 if update == "simultaneous" else 3
    for reuse_fakes in (False, True):
        game = make_game(
            loss,
            *tricks,
            lr=(0.3, 0.1),
            update=update,
            discriminator_steps=steps,
            reuse_fakes=reuse_fakes,
            weight_clip=0.9,
        )
        for start in ((1.0, 0.5), (-0.7, 0.88)):
            moved = game.move(torch.tensor(start, dtype=torch.float64, requires_grad=True))
            assert moved.detach().numpy() == pytest.approx(train(game, start, 1)[1], abs=1e-6)


def test_the_jacobian_of_a_step_is_that_of_differences():
    game = make_game(NonSaturating(), R1(gamma=0.5), lr=(0.3, 0.1), discriminator_steps=2)
    point, size = np.array([0.8, -0.4]), 1e-2
    columns = [
        (train(game, tuple(point + size * unit), 1)[1] - train(game, tuple(point - size * unit), 1)[1]) / (2 * size)
        for unit in np.eye(2)
    ]
    assert game.step_jacobian(tuple(point)) == pytest.approx(np.stack(columns, axis=1), abs=1e-4)


def test_the_random_numbers_of_a_run_are_left_alone():
    state = torch.get_rng_state()
    fields = [make_game(Minimax(), InstanceNoise(std=0.5), WganGp()).field(np.ones((3, 2))) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state) and (fields[0] == fields[1]).all()
    assert torch.get_default_dtype() == torch.float32


# loss, tricks, update, weight_clip: by the eigenvalues, and by a run with the learning rate and start of the authors
PAPER = {
    "minimax": (Minimax(), [], "discriminator_first", None, "circles", "circles"),
    "minimax, simultaneous": (Minimax(), [], "simultaneous", None, "diverges", "diverges"),
    "non-saturating": (NonSaturating(), [], "discriminator_first", None, "circles", "circles"),
    "non-saturating, simultaneous": (NonSaturating(), [], "simultaneous", None, "diverges", "circles"),
    "clipping": (Wasserstein(), [], "discriminator_first", 1.0, "circles", "circles"),
    "clipping, simultaneous": (Wasserstein(), [], "simultaneous", 1.0, "diverges", "circles"),
    "wgan-gp": (Wasserstein(), [WganGp(weight=0.35)], "discriminator_first", None, None, "circles"),
    "wgan-gp, simultaneous": (Wasserstein(), [WganGp(weight=0.35)], "simultaneous", None, None, "circles"),
    "instance noise": (Minimax(), [InstanceNoise(std=0.7)], "discriminator_first", None, "converges", "converges"),
    "R1": (Minimax(), [R1(gamma=0.3)], "discriminator_first", None, "converges", "converges"),
    "R1, simultaneous": (NonSaturating(), [R1(gamma=0.3)], "simultaneous", None, "converges", "converges"),
    "R1, critical": (Minimax(), [R1(gamma=1.0)], "discriminator_first", None, "converges", "converges"),
    "R2": (NonSaturating(), [R2(gamma=0.3)], "discriminator_first", None, "converges", "converges"),
}


EVERY_DAY = {"minimax", "minimax, simultaneous", "non-saturating", "wgan-gp", "instance noise", "R1"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in EVERY_DAY else pytest.mark.slow) for name in PAPER]
)
def test_eigenvalues_and_runs_agree_with_the_paper(name):
    loss, tricks, update, weight_clip, by_eigenvalues, by_run = PAPER[name]
    game = make_game(loss, *tricks, update=update, weight_clip=weight_clip)
    eigenvalues = game.step_eigenvalues()
    assert (None if eigenvalues is None else classify_step(eigenvalues)) == by_eigenvalues
    assert classify_path(train(game, (1.0, 1.0), 500)) == by_run
    expected = paper_verdict(game.loss, game.tricks)
    assert expected == ("converges" if by_run == "converges" else "does not converge")


def spiral(growth, steps=400, turns=6.0):
    """A path that turns around 0 while its distance changes as `growth` does, from 0 at the start to 1 at the end."""
    times = np.linspace(0, 1, steps)
    angles = 2 * np.pi * turns * times
    return growth(times)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


PATHS = {
    "inward": (lambda t: np.exp(-8 * t), "converges"),
    "slowly inward": (lambda t: np.exp(-0.6 * t), "converges"),
    "noise at the end": (lambda t: np.exp(-9 * t) + 0.02, "converges"),
    "circle": (lambda t: 1 + 0 * t, "circles"),
    "ellipse": (lambda t: 1 + 0.2 * np.sin(80 * t), "circles"),
    "like one over the root of time": (lambda t: 1 / np.sqrt(1 + 20 * t), "circles"),
    "ever more slowly inward": (lambda t: 0.5 + 0.2 * np.exp(-2 * t), "circles"),
    "ever more slowly outward": (lambda t: 1.2 - 0.3 * np.exp(-5 * t), "circles"),
    "to a limit cycle from outside": (lambda t: 0.5 + np.exp(-20 * t), "circles"),
    "to a limit cycle from inside": (lambda t: 0.5 - 0.4 * np.exp(-300 * t) + 0.01 * np.sin(80 * t), "circles"),
    "outward": (lambda t: np.exp(3 * t), "diverges"),
    "slowly outward": (lambda t: 1 + 0.2 * t, "diverges"),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_classified_by_its_distances(name):
    growth, expected = PATHS[name]
    assert classify_path(spiral(growth)) == expected


def test_a_path_that_is_not_finite_diverges_and_one_that_stands_still_elsewhere_stalls():
    path = spiral(lambda t: np.exp(-8 * t))
    path[-1] = np.nan
    assert classify_path(path) == "diverges"
    assert classify_path(np.full((100, 2), 0.7)) == "stalls"
    assert classify_path(np.array([[1.0, 1.0]])) == classify_path(np.full((6, 2), 0.7)) == "stalls"
    assert classify_path(np.zeros((100, 2))) == "converges"


def test_least_squares_stalls_beside_the_equilibrium():
    game = make_game(LeastSquares(), R1(gamma=0.3))
    assert classify_step(game.step_eigenvalues()) == classify_field(game.field_eigenvalues()) == "stalls"
    assert classify_path(train(game, (1.0, 1.0), 500)) == "stalls"
    assert paper_verdict(game.loss, game.tricks) is None


@pytest.mark.parametrize(
    ("tricks", "expected"),
    [
        ([], True),
        ([R1(), R2(), InstanceNoise(), WganGp(), Dragan()], True),
        ([SpectralNorm()], False),
        ([R1(), Packing()], False),
        ([FeatureMatching()], False),
        ([Replay()], False),
        ([LeCam()], False),
        ([R1(every=4)], False),
    ],
)
def test_the_theory_holds_for_tricks_that_leave_networks_and_batches_alone(tricks, expected):
    assert can_analyze(Tricks(tricks)) is expected


@pytest.mark.parametrize(
    ("loss", "tricks", "expected"),
    [
        (NonSaturating(), [], "does not converge"),
        (NonSaturating(), [TrackFailures()], "does not converge"),
        (Wasserstein(), [R1()], "converges"),
        (Wasserstein(), [InstanceNoise()], None),
        (Minimax(), [WganGp()], None),
        (Minimax(), [R1(), R2()], None),
        (Hinge(), [], None),
    ],
)
def test_the_paper_says_nothing_of_what_it_does_not_treat(loss, tricks, expected):
    assert paper_verdict(loss, Tricks(tricks)) == expected
