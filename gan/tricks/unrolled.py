"""Unrolled GAN: G sees how D would answer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call

from gan.config.errors import ConfigError
from gan.config.types import PositiveFloat, SmallCount
from gan.player import Players
from gan.tricks.base import FeaturesFunction, Trick, TrickContext

Weights = dict[str, Tensor]  # of D, by name
Optimizer = Callable[[Weights, Weights], Weights]  # (weights, gradients) to the weights after an update


class Unrolled(Trick):
    """G's loss is that of a D which is some updates ahead, and G's gradient passes through these updates
    (Metz et al. 2017, equations 7 to 10). D itself is updated as without this trick. Where the loss is a zero-sum game,
    G's is minus D's whole loss, as in equation 10; else it is G's own loss.

    The updates are on the same batch, by gradient descent as in equation 7, or by D's Adam as in the authors' code.

    Args:
        steps: number of updates, K in the paper.
        lr: learning rate of gradient descent, eta in the paper; None: the updates are those that D's Adam would make.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, steps: SmallCount = 5, lr: PositiveFloat | None = 0.02) -> None:
        self.steps, self.lr = steps, lr

    def check(self, context: TrickContext) -> None:
        if context.tricks.any("uses_labels"):
            raise ConfigError("trick=unrolled does not go with trick=conditional or clusters: it sees no labels.")
        others = [trick for trick in context.tricks.tricks if type(trick).generator_loss is not Trick.generator_loss]
        if len(others) > 1:
            raise ConfigError("trick=unrolled does not go with trick=feature_matching: each has another loss for G.")
        self.discriminator, self.loss, self.tricks = context.discriminator, context.loss, context.tricks
        self.weight_clip = context.train.weight_clip

    def begin_training(self, players: Players) -> None:
        self.optimizer = players.discriminator.optimizer
        options = self.optimizer.defaults
        is_adam = type(self.optimizer) is torch.optim.Adam and not (options["amsgrad"] or options["maximize"])
        if self.lr is None and not is_adam:
            raise ConfigError(
                f"trick.unrolled.lr=null does not go with {type(self.optimizer).__name__} for D: it needs "
                "torch.optim.Adam without amsgrad and maximize; give a rate, such as trick.unrolled.lr=0.02, or choose "
                "optim=adam."
            )

    def begin_step(self, step: int) -> None:
        # In G's update none of them requires a gradient.
        self.trained = [name for name, weight in self.discriminator.named_parameters() if weight.requires_grad]

    def generator_loss(self, loss: Tensor, features: FeaturesFunction, real: Tensor, fake: Tensor) -> Tensor:
        with torch.enable_grad():
            weights = {name: self.discriminator.get_parameter(name).detach().requires_grad_() for name in self.trained}
            optimizer = self.adam() if self.lr is None else partial(descend, lr=self.lr)
            for _ in range(self.steps):
                weights = self.update(weights, optimizer, real, fake)
            logits_of = partial(self.logits, weights)
            sees_real = self.loss.generator_sees_real or self.loss.zero_sum
            real_logits = logits_of(self.tricks.augment(real)) if sees_real else None
            fake_logits = logits_of(self.tricks.augment(fake))
            if self.loss.zero_sum and real_logits is not None:
                return -self.loss(real_logits, fake_logits)  # real images too: here D depends on G, through its updates
            return self.loss.generator(real_logits, fake_logits)

    def adam(self) -> "AdamUpdates":
        """D's Adam from where it is. It stays there itself."""
        weights = [self.discriminator.get_parameter(name) for name in self.trained]
        states = [self.optimizer.state.get(weight, {}) for weight in weights]
        return AdamUpdates(self.optimizer.param_groups[0], dict(zip(self.trained, states, strict=True)))

    def update(self, weights: Weights, optimizer: Optimizer, real: Tensor, fake: Tensor) -> Weights:
        """D's weights after one more update, whose graph leads to `weights` and to `fake`."""
        logits_of = partial(self.logits, weights)
        real_input, fake_input = self.tricks.augment(real), self.tricks.augment(fake)
        penalties = self.tricks.penalties(logits_of, real_input, fake_input)
        total = sum(penalties.values(), start=self.loss(logits_of(real_input), logits_of(fake_input)))
        gradients = torch.autograd.grad(total, list(weights.values()), create_graph=True, materialize_grads=True)
        updated = optimizer(weights, dict(zip(weights, gradients, strict=True)))
        if self.weight_clip is None:
            return updated
        return {name: weight.clamp(-self.weight_clip, self.weight_clip) for name, weight in updated.items()}

    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Logits of a D with other weights. Its buffers stay as they are."""
        buffers = {name: buffer.clone() for name, buffer in self.discriminator.named_buffers()}
        return functional_call(self.discriminator, weights | buffers, (images,))


def descend(weights: Weights, gradients: Weights, lr: float) -> Weights:
    """An update by gradient descent."""
    return {name: weight - lr * gradients[name] for name, weight in weights.items()}


class AdamUpdates:
    """Updates of Adam (Kingma and Ba 2015), with a graph.

    Args:
        options: of a group of `torch.optim.Adam`.
        states: what it keeps of each weight, by the weight's name; empty before its first update.
    """

    def __init__(self, options: Mapping[str, Any], states: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.options = options
        self.states = {
            name: (state.get("step", 0), state.get("exp_avg", 0.0), state.get("exp_avg_sq", 0.0))
            for name, state in states.items()
        }

    def __call__(self, weights: Weights, gradients: Weights) -> Weights:
        return {name: self.update(name, weight, gradients[name]) for name, weight in weights.items()}

    def update(self, name: str, weight: Tensor, gradient: Tensor) -> Tensor:
        (step, first, second), (beta1, beta2) = self.states[name], self.options["betas"]
        gradient = gradient + self.options["weight_decay"] * weight
        step = step + 1
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient.square()
        self.states[name] = step, first, second
        # A root has no gradient at 0, where a weight has never had one.
        spread = second.clamp_min(torch.finfo(second.dtype).tiny).sqrt() / (1 - beta2**step) ** 0.5
        return weight - self.options["lr"] / (1 - beta1**step) * first / (spread + self.options["eps"])
