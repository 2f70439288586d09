"""A player of the game: a network, and the optimiser that moves it."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan.models import layers
from gan.optim import Schedule


class Brake:
    """Stops both players, on the device, at the first loss that is not a finite number.

    Fused optimisers skip a step while `found_inf` is 1, so nobody has to wait for the GPU in every step to learn
    whether a loss was NaN: the weights stay as they were before it until the host comes to read.
    """

    def __init__(self, device: torch.device) -> None:
        self.engaged = torch.zeros((), device=device)
        self.step = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self, step: int) -> None:
        """Update number `step`, which counts from 0, is about to be made."""
        self.step.fill_(step + 1)


class Player:
    """A network and the optimiser that moves it. Calling it calls the network, in the run's precision.

    Args:
        schedule: for each of the optimiser's numbers that changes, what it is at a step.
        precision: `bf16` runs the network's matrix products and convolutions in bfloat16; weights, optimiser
            and losses stay in float32.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: dict[str, Schedule],
        brake: Brake,
        precision: str,
    ) -> None:
        self.network, self.optimizer, self.schedule, self.brake = network, optimizer, schedule, brake
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.half = precision == "bf16"
        self.mixes_pictures = layers.mixes_pictures(network)
        self.failed_at = torch.zeros_like(brake.step)  # the step whose loss was not finite, from 1; 0 is none
        optimizer.found_inf, optimizer.grad_scale = brake.engaged, None

    def __call__(self, inputs: Tensor) -> Tensor:
        device = inputs.device.type
        with torch.autocast(device, torch.bfloat16) if self.half else nullcontext():
            return self.network(inputs).float()

    def imagine(self, noise: Tensor) -> Tensor:
        """Pictures that nobody will ask this player's gradient of."""
        with torch.no_grad():
            return self(noise)

    def backward(self, loss: Tensor, keep_graph: bool = False) -> None:
        """Find the gradient of `loss` (0-d) for this player's weights, and for nobody else's."""
        self.optimizer.zero_grad()
        loss.backward(inputs=self.parameters, retain_graph=keep_graph)
        bad = ~torch.isfinite(loss.detach())
        self.failed_at.copy_(torch.where(bad & (self.brake.engaged == 0), self.brake.step, self.failed_at))
        self.brake.engaged.copy_(torch.maximum(self.brake.engaged, bad.float()))

    def begin(self, step: int, epoch: int) -> None:
        """Set what the schedule says of update number `step`, both counted from 0."""
        for name, at in self.schedule.items():
            for group in self.optimizer.param_groups:
                group[name] = at(self.optimizer.defaults[name], step, epoch)

    def advance(self) -> None:
        """Move the weights along the gradient that `backward` found, unless a loss was not finite."""
        self.optimizer.step()

    def descend(self, loss: Tensor) -> None:
        """One step down `loss` (0-d)."""
        self.backward(loss)
        self.advance()


class Players(NamedTuple):
    """Both of them."""

    generator: Player
    discriminator: Player

    def begin(self, step: int, epoch: int) -> None:
        """Update number `step` is about to be made, in pass `epoch` through the data, both counted from 0."""
        self.generator.brake.begin(step)
        for player in self:
            player.begin(step, epoch)

    def judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits (B,) for real pictures and for fakes.

        In one pass where D looks at each picture alone. Where it has BatchNorm, real and fake pictures are
        batches of their own, as in every published DCGAN.
        """
        if self.discriminator.mixes_pictures:
            return self.discriminator(real), self.discriminator(fake)
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).split([len(real), len(fake)])
        return real_logits, fake_logits
