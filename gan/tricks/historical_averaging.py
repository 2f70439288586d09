"""Historical averaging of the weights."""

from typing import Any

import torch
from torch import Tensor, nn

from gan.config.types import PositiveFloat
from gan.data.image_shape import DataShape
from gan.models.base import Discriminator, Generator
from gan.player import Player, Players
from gan.tricks.base import Batch, Pair, Trick


class HistoricalAveraging(Trick):
    """Each player pays for the distance of its weights from their mean over all steps (Salimans et al. 2016, section
    3.3).

    Args:
        weight: of the squared distance. The paper has none, and 1 holds small initial weights where they are.
    """

    def __init__(self, *, weight: PositiveFloat = 1e-3) -> None:
        self.weight, self.steps = weight, 0
        self.networks: tuple[nn.Module, ...] = ()  # G and D
        self.means: list[list[Tensor]] = []  # for each of them, of the weights that are trained

    def modify_networks(self, generator: Generator, discriminator: Discriminator, image: DataShape) -> None:
        self.networks = generator, discriminator

    @torch.no_grad()
    def begin_step(self, step: int) -> None:
        self.steps += 1
        current: list[list[Tensor]] = [
            [weight for weight in it.parameters() if weight.requires_grad] for it in self.networks
        ]
        if not self.means:
            self.means = [[weight.clone() for weight in weights] for weights in current]
        for number, weights in enumerate(current):
            pairs = zip(self.means[number], weights, strict=True)
            self.means[number] = [mean.to(weight.device) for mean, weight in pairs]  # of a checkpoint: on the CPU
            torch._foreach_lerp_(self.means[number], weights, 1 / self.steps)

    def discriminator_terms(self, players: Players, batch: Batch, inputs: Pair, logits: Pair) -> dict[str, Tensor]:
        return self.distance(players.discriminator, self.means[1])

    def generator_terms(self, players: Players, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        return self.distance(players.generator, self.means[0])

    def distance(self, player: Player, means: list[Tensor]) -> dict[str, Tensor]:
        """The squared distance of a player's weights from their mean."""
        pairs = zip(player.working_parameters, means, strict=True)
        squares = torch.stack([(weight.float() - mean).square().sum() for weight, mean in pairs])
        return {"historical_averaging": self.weight * squares.sum()}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "means": self.means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.means = state["steps"], state["means"]
