"""A player, G or D: a network and its optimizer."""

from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from gan.numerics import NonFiniteGuard, bf16_copy
from gan.optim import Schedule
from gan.system import distributed


class Player:
    """A network and its optimizer. Calling it calls the network, in the precision of the run.

    Args:
        schedule: for each option of the optimizer that changes during training, its value at a step.
        precision: `bf16` runs matrix products and convolutions in bfloat16; weights, optimizer and losses stay float32.
        compiled: whether the network runs through torch.compile.
        weight_clip: after each update, weights are clipped to [-weight_clip, weight_clip] (Arjovsky et al. 2017).
        accumulate: batches in an update, whose gradient is the mean over them.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: dict[str, Schedule],
        guard: NonFiniteGuard,
        precision: str,
        compiled: bool = False,
        weight_clip: float | None = None,
        accumulate: int = 1,
    ) -> None:
        self.optimizer, self.schedule, self.guard = optimizer, schedule, guard
        self.weight_clip, self.is_bf16 = weight_clip, precision == "bf16"
        self.accumulate, self.pending = accumulate, 0  # batches that the gradient has, of an update that lacks some
        # `network` holds the float32 weights, which the optimizer updates and checkpoints store. `working` is what runs
        # in a step: `network` itself, or its bfloat16 copy. `compiled` is `working` through torch.compile, if used.
        self.network = network
        self.working: Any = bf16_copy(network) if self.is_bf16 else network
        self.compiled: Any = self.working
        if compiled:  # fallback_random: the same dropout as without torch.compile
            self.compiled = torch.compile(self.working, options={"fallback_random": True})
        self.parameters: list[Tensor] = [weight for weight in network.parameters() if weight.requires_grad]
        self.working_parameters: list[Tensor] = [weight for weight in self.working.parameters() if weight.requires_grad]
        pairs = zip(self.parameters, self.working_parameters, strict=True)
        self.copies = [(weight, working) for weight, working in pairs if working is not weight]
        self.failed_at = torch.zeros_like(guard.step)  # number of the first step that was not finite; 0: none
        self.gradient_norm = torch.zeros_like(guard.found_inf)
        self.loss = torch.zeros_like(guard.found_inf)  # the sum over the batches of an update
        vars(optimizer).update(found_inf=guard.found_inf, grad_scale=None)  # as torch.amp.GradScaler does
        self.prepare_options()

    def __call__(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        with self.autocast(inputs):
            return self.compiled(inputs, labels).float()

    def uncompiled(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """The same without torch.compile, which cannot differentiate twice."""
        with self.autocast(inputs):
            return self.working(inputs, labels).float()

    def features(self, images: Tensor) -> Tensor:
        """Features of `images`, if the network is a Discriminator."""
        with self.autocast(images):
            return self.working.features(images).float()

    def predict(self, head: str, images: Tensor) -> Tensor:
        """What a head of the network says of `images` (B, n), if the network is a Discriminator."""
        with self.autocast(images):
            return self.working.predict(head, images).float()

    def generate(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images without a graph."""
        with torch.no_grad():
            return self(noise, labels)

    def autocast(self, inputs: Tensor) -> AbstractContextManager:
        """The precision of the run, on the device of `inputs`."""
        return torch.autocast(inputs.device.type, torch.bfloat16) if self.is_bf16 else nullcontext()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Context in which gradients pass through the network but are not computed for its weights."""
        for weight in self.working_parameters:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self.working_parameters:
                weight.requires_grad_(True)

    def begin_step(self, step: int, epoch: int) -> None:
        """Apply the schedule for update number `step`, counted from 0."""
        for name, value_at in self.schedule.items():
            value = value_at(self.optimizer.defaults[name], step, epoch)
            for group in self.optimizer.param_groups:
                if isinstance(group[name], Tensor):
                    group[name].fill_(value)
                else:
                    group[name] = value

    def graph_key(self) -> Hashable:
        """The scheduled options that a CUDA graph of the optimizer's step has as constants."""
        values = [group[name] for group in self.optimizer.param_groups for name in self.schedule]
        return tuple(value for value in values if not isinstance(value, Tensor))

    def prepare_options(self) -> None:
        """On a GPU, let a CUDA graph of the optimizer's step read a scheduled learning rate from a tensor."""
        is_cuda = self.guard.found_inf.is_cuda
        for group in self.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = is_cuda
            if "lr" in self.schedule:
                group["lr"] = self.guard.found_inf.new_tensor(float(group["lr"])) if is_cuda else float(group["lr"])

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Compute the gradient of `loss` (0-d) for the weights of this player alone.

        It is added to that of the batches before, and is their mean after the last of `accumulate`.
        """
        is_first = self.pending == 0
        if is_first:
            for weight in self.parameters:
                weight.grad = None
        loss.backward(inputs=self.working_parameters, retain_graph=retain_graph)
        for weight, working in self.copies:  # so that sums are float32
            if working.grad is not None:
                weight.grad = working.grad.float() if weight.grad is None else weight.grad + working.grad
                working.grad = None
        self.pending = (self.pending + 1) % self.accumulate
        gradients = [weight.grad for weight in self.parameters if weight.grad is not None and not self.pending]
        if self.accumulate > 1 and gradients:
            torch._foreach_div_(gradients, self.accumulate)
        distributed.all_reduce_mean([loss.detach(), *gradients])
        self.loss = loss.detach() if is_first else self.loss + loss.detach()
        if not self.pending:
            self.gradient_norm = get_total_norm(gradients)
            self.guard.check(self.loss + self.gradient_norm, self.failed_at)  # finite only if both are

    def optimizer_step(self) -> None:
        """Update the weights, once the gradient has all of its batches.

        The fused optimizer skips this while `guard.found_inf` is 1.
        """
        if self.pending:
            return
        self.optimizer.step()
        if self.weight_clip is not None:
            with torch.no_grad():
                torch._foreach_clamp_min_(self.parameters, -self.weight_clip)
                torch._foreach_clamp_max_(self.parameters, self.weight_clip)
        self.update_copies()

    def update(self, loss: Tensor) -> None:
        """One update of the weights to reduce `loss` (0-d), or with `accumulate` the mean of so many losses."""
        self.backward(loss)
        self.optimizer_step()

    @torch.no_grad()
    def update_copies(self) -> None:
        """Copy the weights, which have changed, to their bfloat16 copies."""
        if self.copies:
            weights, copies = zip(*self.copies, strict=True)
            torch._foreach_copy_(copies, weights)

    def saved_tensors(self) -> dict[str, list[Tensor]]:
        """What a checkpoint has of the player and training may make infinite.

        The state of the optimizer may be so alone: Adam then divides by it, and the weights stand still.
        """
        state = [value for values in self.optimizer.state.values() for value in values.values()]
        parts = {"weights": self.network.state_dict().values(), "optimizer state": state}
        return {
            part: [value for value in values if isinstance(value, Tensor) and value.is_floating_point()]
            for part, values in parts.items()
        }

    def load_state_dict(self, network: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Restore both."""
        self.network.load_state_dict(network)
        self.optimizer.load_state_dict(optimizer)
        self.prepare_options()
        self.update_copies()


@dataclass(frozen=True)
class Players:
    """Both players.

    Args:
        separate_batches: whether D gets real and fake images in two batches or in one. With BatchNorm in D the results
            differ (ganhacks 4).
    """

    generator: Player
    discriminator: Player
    separate_batches: bool = False

    def __iter__(self) -> Iterator[Player]:
        return iter((self.generator, self.discriminator))

    def begin_step(self, step: int, epoch: int) -> None:
        """Called before update number `step`, in epoch `epoch`, both counted from 0."""
        self.generator.guard.step.fill_(step + 1)
        for player in self:
            player.begin_step(step, epoch)

    def graph_key(self) -> Hashable:
        """What a CUDA graph of a step has as constants."""
        return tuple(player.graph_key() for player in self)

    def discriminator_logits(self, real: Tensor, fake: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """D's logits (B,) of real images and of as many fake images, both with the classes `labels` (B,)."""
        if self.separate_batches:
            return self.discriminator(real, labels), self.discriminator(fake, labels)
        both_labels = None if labels is None else labels.repeat(2)
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake]), both_labels).chunk(2)
        return real_logits, fake_logits
