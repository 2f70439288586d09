"""A player of the game: a network, and the optimiser that moves it."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from gan.optim import Schedule
from gan.system import distributed


class NonFiniteGuard:
    """Stops both players, on the device, at the first loss or gradient that is not a finite number.

    Fused optimisers skip a step while `found_inf` is 1, so nobody has to wait for the GPU in every step to learn
    whether something was NaN: the weights stay as they were before it until the host comes to read.
    """

    def __init__(self, device: torch.device) -> None:
        self.found_inf = torch.zeros((), device=device)
        self.step = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self, step: int) -> None:
        """Update number `step`, which counts from 0, is about to be made."""
        self.step.fill_(step + 1)

    def check(self, number: Tensor, failed_at: Tensor) -> None:
        """Engage if `number` (0-d) is not finite, and note the step in `failed_at` if it is the first such number."""
        bad = number * 0 != 0  # 0 times an infinity or NaN is NaN; isfinite takes twice as many calls
        torch.where(bad > self.found_inf, self.step, failed_at, out=failed_at)
        torch.maximum(self.found_inf, bad, out=self.found_inf)


class Player:
    """A network and the optimiser that moves it. Calling it calls the network, in the run's precision.

    Args:
        schedule: for each of the optimiser's numbers that changes, what it is at a step.
        precision: `bf16` runs the network's matrix products and convolutions in bfloat16; weights, optimiser
            and losses stay in float32.
        compiled: whether the network runs through torch.compile.
        constrain: changes the weights (a list) in place after each move.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: dict[str, Schedule],
        brake: NonFiniteGuard,
        precision: str,
        compiled: bool = False,
        constrain: Callable[[list[Tensor]], None] | None = None,
    ) -> None:
        self.network, self.optimizer, self.schedule, self.brake = network, optimizer, schedule, brake
        self.constrain = constrain
        self.half = precision == "bf16"
        self.working = half_copy(network) if self.half else network  # what runs in a step
        self.called = self.working
        if compiled:  # with the dropout that it also has uncompiled
            options = {"fallback_random": True, "triton.cudagraphs": brake.found_inf.is_cuda}
            self.called = torch.compile(self.working, options=options)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.working_parameters = [parameter for parameter in self.working.parameters() if parameter.requires_grad]
        both = zip(self.parameters, self.working_parameters, strict=True)
        self.copied = [(parameter, working) for parameter, working in both if working is not parameter]
        self.failed_at = torch.zeros_like(brake.step)  # the step that was not finite, from 1; 0 is none
        optimizer.found_inf, optimizer.grad_scale = brake.found_inf, None

    def __call__(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        with self.in_precision(inputs):
            return self.called(inputs, *given(labels)).float()

    def features(self, images: Tensor) -> Tensor:
        """What the last layer of a discriminator sees of `images`."""
        with self.in_precision(images):
            return self.working.features(images).float()

    def uncompiled(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """The same without torch.compile, so that it can be differentiated twice."""
        with self.in_precision(inputs):
            return self.working(inputs, *given(labels)).float()

    def generate(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images that nobody will ask this player's gradient of."""
        with torch.no_grad():
            return self(noise, labels)

    def in_precision(self, inputs: Tensor) -> AbstractContextManager:
        """Where matrix products on the device of `inputs` run in the run's precision."""
        return torch.autocast(inputs.device.type, torch.bfloat16) if self.half else nullcontext()

    @contextmanager
    def still(self) -> Iterator[None]:
        """While this lasts, the weights are constants: a gradient passes through them and is not found for them."""
        for parameter in self.working_parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.working_parameters:
                parameter.requires_grad_(True)

    def backward(self, loss: Tensor, keep_graph: bool = False) -> None:
        """Find the gradient of `loss` (0-d) for this player's weights, and for nobody else's."""
        for weight in self.working_parameters:
            weight.grad = None
        loss.backward(inputs=self.working_parameters, retain_graph=keep_graph)
        for parameter, working in self.copied:
            parameter.grad = working.grad.float()
        gradients = [weight.grad for weight in self.parameters if weight.grad is not None]
        distributed.all_reduce_mean([loss.detach(), *gradients])
        # One number that is finite only if the loss and every gradient are.
        total = torch.stack([gradient.sum() for gradient in gradients]).sum()
        self.brake.check(loss.detach() + total, self.failed_at)

    def begin(self, step: int, epoch: int) -> None:
        """Set what the schedule says of update number `step`, both counted from 0."""
        for name, at in self.schedule.items():
            for group in self.optimizer.param_groups:
                group[name] = at(self.optimizer.defaults[name], step, epoch)

    def advance(self) -> None:
        """Move the weights along the gradient that `backward` found, unless something was not finite."""
        self.optimizer.step()
        if self.constrain:
            with torch.no_grad():
                self.constrain(self.parameters)
        self.follow()

    def is_finite(self) -> bool:
        """Whether all that the network has learnt is finite numbers. Waits for the device."""
        learnt = [tensor for tensor in self.network.state_dict().values() if tensor.is_floating_point()]
        return bool(torch.stack(torch._foreach_norm(learnt, math.inf)).isfinite().all())

    def update(self, loss: Tensor) -> None:
        """One step down `loss` (0-d)."""
        self.backward(loss)
        self.advance()

    @torch.no_grad()
    def follow(self) -> None:
        """Let the working weights be those that were learnt, which have just changed."""
        for parameter, working in self.copied:
            working.copy_(parameter)

    def restore(self, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Go to where a checkpoint was."""
        self.network.load_state_dict(weights)
        self.optimizer.load_state_dict(optimizer)
        self.follow()


def half_copy(network: nn.Module) -> nn.Module:
    """The same network with the weights of its matrix products and convolutions in bfloat16; it shares the rest.

    Autocast alone would cast those weights in every call, and their gradients back in every backward pass.
    """
    products = [module for module in network.modules() if isinstance(module, (nn.Linear, _ConvNd))]
    halves = {
        id(weight): nn.Parameter(weight.detach().bfloat16(), weight.requires_grad)
        for module in products
        for weight in module.parameters(recurse=False)
    }
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared | halves)  # what it is told of here is not copied


@dataclass(frozen=True)
class Players:
    """Both of them.

    Args:
        separate: whether real images and fakes are batches of their own for D, or go through it in one. That makes
            a difference where it mixes the images of a batch, as BatchNorm does (ganhacks 4).
    """

    generator: Player
    discriminator: Player
    separate: bool = False

    def __iter__(self) -> Iterator[Player]:
        return iter((self.generator, self.discriminator))

    def begin(self, step: int, epoch: int) -> None:
        """Update number `step` is about to be made, in pass `epoch` through the data, both counted from 0."""
        self.generator.brake.begin(step)
        for player in self:
            player.begin(step, epoch)

    def judge(self, real: Tensor, fake: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """D's logits (B,) for real images and for as many fakes, both of the classes `labels` (B,)."""
        if self.separate:
            return self.discriminator(real, labels), self.discriminator(fake, labels)
        both = None if labels is None else labels.repeat(2)
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake]), both).chunk(2)
        return real_logits, fake_logits


def given(labels: Tensor | None) -> tuple[Tensor, ...]:
    """What a network is called with besides its input: a plain one knows of no labels."""
    return () if labels is None else (labels,)
