"""The path of a run on the Dirac-GAN, which a figure shows at its end."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan.models import linear
from gan.player import Player
from gan.training.dirac import DiracGAN, can_analyze, classify_path, classify_step, paper_verdict
from gan.training.dirac_figure import draw_dirac
from gan.training.state import TrainingRun
from gan.tricks.base import Trick
from gan.tricks.failures import TrackFailures

KEPT_STEPS = 100_000  # of a longer run, evenly spaced ones


class DiracPath:
    """(theta, psi) of a run where it begins, and after its steps, on the device: keeping them never waits for it."""

    name = "dirac"

    def __init__(self, run: TrainingRun) -> None:
        steps = run.total_steps - run.step
        self.start, self.interval = run.step, max(1, math.ceil(steps / KEPT_STEPS))
        self.states = torch.empty(steps // self.interval + 1, 2, device=run.device)
        self.keep(run)

    def keep(self, run: TrainingRun) -> None:
        """Keep the weights of this step."""
        row, rest = divmod(run.step - self.start, self.interval)
        if not rest:
            for state, player in zip(self.states[row], run.players, strict=True):
                state.copy_(player.parameters[0].detach().view(()))

    def read(self, step: int) -> np.ndarray:
        """The path float64 (T, 2) up to `step`."""
        return self.states[: (step - self.start) // self.interval + 1].double().cpu().numpy()

    def conclude(self, run: TrainingRun, path: Path) -> dict[str, Any]:
        """Write the PNG of the path beside what theory says of it, and return both verdicts and the eigenvalues.

        The tricks are then as in the first step: of noise that fades, field and eigenvalues are those of its start.
        """
        if run.step == self.start:
            return {}
        run.tricks.begin_step(0)
        game, reason = make_game(run), find_obstacle(run)
        trajectory = self.read(run.step)
        has_failed = any(int(player.failed_at) for player in run.players)  # then the weights stay as they were
        verdict = "diverges" if has_failed else classify_path(trajectory)
        field = game.field if can_analyze(run.tricks) else np.zeros_like
        eigenvalues, expected = (
            (None, None) if reason else (game.step_eigenvalues(), paper_verdict(run.loss, run.tricks))
        )
        shown = {"why_none": reason} if reason else {}
        draw_dirac(path, trajectory, field, eigenvalues, verdict, expected, describe(run, self), **shown)
        # the end of a path, since a run was resumed, does not say where the whole of it leads
        whole = None if self.start else verdict
        return {"path": whole, "paper": expected} | describe_eigenvalues(eigenvalues)


def follow(run: TrainingRun) -> DiracPath | None:
    """The path of `run` from this step on; None where it is no Dirac-GAN, or a trick changes what psi means."""
    has_weights = isinstance(run.generator, linear.Generator) and isinstance(
        run.players.discriminator.network, linear.Discriminator
    )
    if not has_weights or run.image.dims != (1,) or run.batches.images.any():
        return None
    changes_networks = any(type(trick).modify_networks is not Trick.modify_networks for trick in run.tricks.tricks)
    return None if changes_networks else DiracPath(run)


def describe_eigenvalues(eigenvalues: np.ndarray | None) -> dict[str, Any]:
    """Real and imaginary part of each, and their verdict; None where there are none, or they are not finite."""
    if eigenvalues is None or not np.isfinite(eigenvalues).all():
        return {"step": None, "eigenvalues": None}
    pairs = [[float(each.real), float(each.imag)] for each in eigenvalues]
    return {"step": classify_step(eigenvalues), "eigenvalues": pairs}


def make_game(run: TrainingRun) -> DiracGAN:
    """The game that `run` plays."""
    train = run.settings.train
    generator_lr, discriminator_lr = (float(player.optimizer.defaults["lr"]) for player in run.players)
    return DiracGAN(
        loss=run.loss,
        tricks=run.tricks,
        lr=(generator_lr, discriminator_lr),
        update=train.update,
        discriminator_steps=train.discriminator_steps,
        reuse_fakes=train.reuse_fakes,
        weight_clip=train.weight_clip,
    )


def find_obstacle(run: TrainingRun) -> str | None:
    """Why theory does not say what this run does; None where it does."""
    if not can_analyze(run.tricks):
        return "they are not known for these tricks"
    return None if all(map(is_plain_sgd, run.players)) else "they are for SGD without momentum"


def is_plain_sgd(player: Player) -> bool:
    """Whether every step goes along the gradient, at the same rate."""
    options = player.optimizer.defaults
    is_plain = not (player.schedule or options.get("momentum") or options.get("weight_decay"))
    return is_plain and isinstance(player.optimizer, torch.optim.SGD)


def describe(run: TrainingRun, kept: DiracPath) -> str:
    """The loss, the tricks and the steps of a path."""
    names = [type(trick).__name__ for trick in run.tricks.tricks if not isinstance(trick, TrackFailures)]
    return f"{type(run.loss).__name__}, {', '.join(names) or 'no trick'}, steps {kept.start:,} to {run.step:,}"
