"""Unrolled GAN: G sees how D would answer."""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import functional_call

from gan.config.errors import ConfigError
from gan.config.types import PositiveFloat, SmallCount
from gan.tricks.base import FeaturesFunction, Trick, TrickContext

Weights = dict[str, Tensor]  # of D, by name


class Unrolled(Trick):
    """G's loss is that of a D which is some updates ahead, and G's gradient passes through these updates
    (Metz et al. 2017, equations 7 to 10). D itself is updated as without this trick.

    The updates are on the same batch, by gradient descent as in equation 7; the authors' code has those of Adam.

    Args:
        steps: number of updates, K in the paper.
        lr: learning rate of these updates, eta in the paper.
    """

    needs_whole_batch: ClassVar[bool] = True

    def __init__(self, *, steps: SmallCount = 5, lr: PositiveFloat = 0.02) -> None:
        self.steps, self.lr = steps, lr

    def check(self, context: TrickContext) -> None:
        if context.tricks.any("uses_labels"):
            raise ConfigError("trick=unrolled does not go with trick=conditional or clusters: it sees no labels.")
        others = [trick for trick in context.tricks.tricks if type(trick).generator_loss is not Trick.generator_loss]
        if len(others) > 1:
            raise ConfigError("trick=unrolled does not go with trick=feature_matching: each has another loss for G.")
        self.discriminator, self.loss, self.tricks = context.discriminator, context.loss, context.tricks
        self.weight_clip = context.train.weight_clip

    def begin_step(self, step: int) -> None:
        # In G's update none of them requires a gradient.
        self.trained = [name for name, weight in self.discriminator.named_parameters() if weight.requires_grad]

    def generator_loss(self, loss: Tensor, features: FeaturesFunction, real: Tensor, fake: Tensor) -> Tensor:
        with torch.enable_grad():
            weights = {name: self.discriminator.get_parameter(name).detach().requires_grad_() for name in self.trained}
            for _ in range(self.steps):
                weights = self.update(weights, real, fake)
            logits_of = partial(self.logits, weights)
            real_logits = logits_of(self.tricks.augment(real)) if self.loss.generator_sees_real else None
            return self.loss.generator(real_logits, logits_of(self.tricks.augment(fake)))

    def update(self, weights: Weights, real: Tensor, fake: Tensor) -> Weights:
        """D's weights after one more update, whose graph leads to `weights` and to `fake`."""
        logits_of = partial(self.logits, weights)
        real_input, fake_input = self.tricks.augment(real), self.tricks.augment(fake)
        penalties = self.tricks.penalties(logits_of, real_input, fake_input)
        total = sum(penalties.values(), start=self.loss(logits_of(real_input), logits_of(fake_input)))
        gradients = torch.autograd.grad(total, list(weights.values()), create_graph=True, materialize_grads=True)
        updated = {
            name: weight - self.lr * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        if self.weight_clip is None:
            return updated
        return {name: weight.clamp(-self.weight_clip, self.weight_clip) for name, weight in updated.items()}

    def logits(self, weights: Weights, images: Tensor) -> Tensor:
        """Logits of a D with other weights. Its buffers stay as they are."""
        buffers = {name: buffer.clone() for name, buffer in self.discriminator.named_buffers()}
        return functional_call(self.discriminator, weights | buffers, (images,))
