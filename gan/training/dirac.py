"""The Dirac-GAN (Mescheder et al. 2018, sections 2 and 3), the smallest game in which GAN training need not converge.

G generates theta, D's logit is psi x, and all data are 0. The equilibrium is theta = psi = 0. How both players move
near it follows from the eigenvalues of a Jacobian, which autograd computes here from the loss and the tricks of a run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.overrides import TorchFunctionMode

from gan.config.schema import Update
from gan.losses import Loss, NaiveLog, NonSaturating, Wasserstein
from gan.tricks.base import Trick, Tricks
from gan.tricks.failures import TrackFailures
from gan.tricks.gradient_penalty import R1, WganGp
from gan.tricks.noise import InstanceNoise

Verdict = Literal["converges", "circles", "stalls", "diverges"]

SAMPLES = 1024  # images at each point, over which tricks that draw random numbers are averaged
TOLERANCE = 1e-9  # of an eigenvalue: computed in float64, a modulus of 1 is 1 up to some 1e-16
CLOSE = 0.05  # a path that ends at this fraction of its largest distance has converged
STEADY = 0.05  # relative change of the distance, over a quarter of a path or a half, that counts as none


class ExactNoise(TorchFunctionMode):
    """Context in which `torch.randn_like` returns the quantiles of N(0, 1) in random order, for SAMPLES images a point.

    Their mean is 0 and their variance 1, as those of sampled noise are not. `torch.rand` returns float64.
    """

    def __init__(self) -> None:
        super().__init__()
        quantiles = torch.special.ndtri((torch.arange(SAMPLES, dtype=torch.float64) + 0.5) / SAMPLES)
        self.quantiles = quantiles / quantiles.square().mean().sqrt()

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.randn_like:
            noise = self.quantiles[torch.randperm(SAMPLES)]
            return noise.repeat(len(args[0]) // SAMPLES).view_as(args[0])
        if func is torch.rand:
            kwargs = {"dtype": torch.float64} | (kwargs or {})
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True, kw_only=True)
class DiracGAN:
    """The game of both players under a loss and tricks, and what plain SGD makes of it.

    Args:
        tricks: those for which `can_analyze` is true, as they are in this step: noise that fades may be gone.
        lr: learning rates of G and of D.
        weight_clip: bound of |psi| after each update of D; None: no bound.
    """

    loss: Loss
    tricks: Tricks
    lr: tuple[float, float]
    update: Update = "discriminator_first"
    discriminator_steps: int = 1
    reuse_fakes: bool = False
    weight_clip: float | None = None

    def velocity(self, theta: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        """Minus the gradient of G's loss for theta (k,), and of D's for psi (k,), differentiable again."""
        # Copies, since in an alternating step psi depends on theta, and G's gradient does not go that way.
        theta, psi = theta.clone(), psi.clone()
        weights = psi.repeat_interleave(SAMPLES)

        def logits_of(images: Tensor) -> Tensor:
            return weights * images.flatten()

        fake = theta.repeat_interleave(SAMPLES).view(-1, 1, 1, 1)
        with torch.random.fork_rng(devices=[]), ExactNoise():
            torch.default_generator.manual_seed(0)
            real_input, fake_input = self.tricks.augment(torch.zeros_like(fake)), self.tricks.augment(fake)
            real_logits, fake_logits = logits_of(real_input), logits_of(fake_input)
            terms = self.loss.discriminator(*self.loss.flip_labels(real_logits, fake_logits))
            penalties = self.tricks.penalties(logits_of, real_input, fake_input)
        discriminator_loss = sum(penalties.values(), start=self.loss.total(terms))
        generator_loss = self.loss.generator(real_logits, fake_logits)
        (theta_gradient,) = torch.autograd.grad(generator_loss, theta, create_graph=True)
        (psi_gradient,) = torch.autograd.grad(discriminator_loss, psi, create_graph=True)
        return -len(theta) * theta_gradient, -len(psi) * psi_gradient  # the losses are means over all points

    def move(self, state: Tensor) -> Tensor:
        """(theta, psi), of shape (2,), after one step of training with plain SGD, differentiable."""
        theta, psi = state.view(2, 1)
        if self.update == "simultaneous":
            return torch.cat([self.move_generator(theta, psi), self.move_discriminator(theta, psi)])
        seen = theta
        if self.update == "generator_first":
            theta = self.move_generator(theta, psi)
            seen = seen if self.reuse_fakes else theta
        for _ in range(self.discriminator_steps):
            psi = self.move_discriminator(seen, psi)
        if self.update == "discriminator_first":
            theta = self.move_generator(theta, psi)
        return torch.cat([theta, psi])

    def move_generator(self, theta: Tensor, psi: Tensor) -> Tensor:
        """theta after an update of G."""
        return theta + self.lr[0] * self.velocity(theta, psi)[0]

    def move_discriminator(self, theta: Tensor, psi: Tensor) -> Tensor:
        """psi after an update of D."""
        psi = psi + self.lr[1] * self.velocity(theta, psi)[1]
        return psi if self.weight_clip is None else psi.clamp(-self.weight_clip, self.weight_clip)

    def field(self, points: np.ndarray) -> np.ndarray:
        """The game's vector field (k, 2): the direction in which (theta, psi) moves at each of `points` (k, 2)."""
        theta, psi = torch.tensor(np.asarray(points), dtype=torch.float64, requires_grad=True).unbind(1)
        return torch.stack(self.velocity(theta, psi), dim=1).detach().numpy()

    def field_jacobian(self, point: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """The Jacobian (2, 2) of the vector field. Row 0 is theta's velocity, column 0 the derivative for theta."""
        return jacobian(lambda state: torch.cat(self.velocity(*state.view(2, 1))), as_state(point)).numpy()

    def step_jacobian(self, point: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """The Jacobian (2, 2) of (theta, psi) after a step of training for (theta, psi) before it."""
        return jacobian(self.move, as_state(point)).numpy()

    def step_eigenvalues(self) -> np.ndarray | None:
        """Eigenvalues (2,) of a training step at the equilibrium; None where it has no derivative there.

        So it is with a penalty toward a gradient norm of 1, as of WGAN-GP: (|psi| - 1)^2 has a kink at 0, which pushes
        psi away from 0 on whichever side it is. Then only a path can show what happens.
        """
        return np.linalg.eigvals(self.step_jacobian()) if self.is_smooth() else None

    def field_eigenvalues(self) -> np.ndarray | None:
        """The same of the vector field, for learning rates that go to 0."""
        return np.linalg.eigvals(self.field_jacobian()) if self.is_smooth() else None

    def is_smooth(self) -> bool:
        """Whether no penalty has a kink at the equilibrium."""
        return not any(trick.penalized_norm for trick in self.tricks.tricks)


def as_state(point: tuple[float, float]) -> Tensor:
    """A point (theta, psi) as a tensor (2,)."""
    return torch.tensor(point, dtype=torch.float64)


def can_analyze(tricks: Tricks) -> bool:
    """Whether the theory holds for these tricks: none that changes a network, adds terms of its own to a loss, mixes
    the images of a batch, or acts in some steps only."""
    hooks = ("modify_networks", "generator_loss", "discriminator_terms", "generator_terms", "replay")
    is_lazy = any(isinstance(trick, R1) and trick.every > 1 for trick in tricks.tricks)
    return not is_lazy and all(
        getattr(type(trick), hook) is getattr(Trick, hook) for trick in tricks.tricks for hook in hooks
    )


def classify_step(eigenvalues: np.ndarray) -> Verdict:
    """What repeated steps do near the equilibrium, from the eigenvalues of the Jacobian of one.

    `circles` and `stalls`: the largest modulus is 1 up to TOLERANCE, with and without a rotation. Terms of higher order
    then decide: they may still contract or expand, but not at a geometric rate.
    """
    return classify(np.abs(eigenvalues) - 1, np.abs(eigenvalues - 1))


def classify_field(eigenvalues: np.ndarray) -> Verdict:
    """The same from the eigenvalues of the vector field's Jacobian, whose real parts count."""
    return classify(eigenvalues.real, np.abs(eigenvalues))


def classify(growth: np.ndarray, motion: np.ndarray) -> Verdict:
    """The verdict from the growth and the motion along each eigenvector, where 0 is none."""
    if growth.max() > TOLERANCE:
        return "diverges"
    if growth.max() < -TOLERANCE:
        return "converges"
    return "circles" if motion[growth >= -TOLERANCE].max() > TOLERANCE else "stalls"


def classify_path(path: np.ndarray) -> Verdict:
    """What a run did, from its path (T, 2) of (theta, psi): from the largest distances to 0 in each quarter of it.

    `converges`: it came CLOSE to 0, or its distance falls at a steady rate. `diverges`: a value is not finite, or the
    distance goes on growing. `stalls`: it stands still elsewhere. `circles`: none of these, also where the distance
    falls ever more slowly, as with the non-saturating loss and alternating updates.
    """
    if not np.isfinite(path).all():
        return "diverges"
    distances = np.hypot(*path.T)
    quarters = np.array([quarter.max() for quarter in np.array_split(distances, 4) if len(quarter)])
    if quarters[-1] <= CLOSE * quarters.max():
        return "converges"
    rates = np.diff(np.log(quarters))
    if len(rates) == 3 and (rates > 0).all() and rates[1:].sum() > STEADY:
        return "diverges"
    if len(rates) == 3 and (rates < -STEADY).all() and rates[2] < 0.8 * rates[1]:
        return "converges"
    motion = np.ptp(path[-len(path) // 4 :], axis=0).max()
    return "stalls" if motion < 1e-3 * quarters[-1] else "circles"


def paper_verdict(loss: Loss, tricks: Tricks) -> str | None:
    """What Mescheder et al. 2018 show of this loss with at most one trick; None where they show nothing.

    `converges` is meant for learning rates that are small enough, `does not converge` for all that do not decay.
    """
    kinds = [type(trick) for trick in tricks.tricks if not isinstance(trick, TrackFailures)]
    is_wasserstein = isinstance(loss, Wasserstein)
    if len(kinds) > 1 or not isinstance(loss, (NonSaturating, NaiveLog, Wasserstein)):
        return None
    if not kinds or (is_wasserstein and issubclass(kinds[0], WganGp)):
        return "does not converge"
    if issubclass(kinds[0], R1) or (not is_wasserstein and issubclass(kinds[0], InstanceNoise)):
        return "converges"
    return None
