"""One update of each player: the algorithm of generative adversarial networks, and nothing else.

Goodfellow et al. 2014, algorithm 1. Every number returned is a 0-d tensor, still on the device: reading one waits
for the GPU.
"""

from typing import NamedTuple

from torch import Tensor

from gan.config.schema import Update
from gan.losses import Loss
from gan.player import Players
from gan.tricks.base import Trick

MetricAccumulator = dict[str, Tensor]


class Batch(NamedTuple):
    """What a player moves on.

    Args:
        real: images (B, C, H, W) in the generator's range.
        noise: (B, noise_dim), a row for each fake.
        labels: classes int64 (B,) of the real images, which the fakes are to have too; None without classes.
    """

    real: Tensor
    noise: Tensor
    labels: Tensor | None = None


def step(
    players: Players, loss: Loss, tricks: Trick, update: Update, reuse_fakes: bool, batches: list[Batch]
) -> MetricAccumulator:
    """Move D once on each of `batches` but the last, and G once on the last.

    Args:
        update: who moves first, or both at once on the last batch.
        reuse_fakes: whether the second to move sees the fakes that the first one moved on.
    """
    generator, (*for_discriminator, for_generator) = players.generator, batches
    if update == "simultaneous":
        return step_both(players, loss, tricks, for_generator)

    if update == "generator_first":
        fake = generator(for_generator.noise, for_generator.labels)
        numbers = step_generator(players, loss, tricks, for_generator, fake)
        for batch in for_discriminator:
            shown = fake.detach() if reuse_fakes else generator.generate(batch.noise, batch.labels)
            numbers |= step_discriminator(players, loss, tricks, batch, shown)
        return numbers

    for batch in for_discriminator:
        fake = (generator if reuse_fakes else generator.generate)(batch.noise, batch.labels)
        numbers = step_discriminator(players, loss, tricks, batch, fake.detach())
    if not reuse_fakes:
        fake = generator(for_generator.noise, for_generator.labels)
    return numbers | step_generator(players, loss, tricks, for_generator, fake)


def step_discriminator(players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor) -> MetricAccumulator:
    """Move D once, to tell the real images from `fake`. G does not change."""
    total, _, numbers = judge(players, loss, tricks, batch, tricks.recall(fake))
    players.discriminator.update(total)
    return numbers


def step_generator(players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor) -> MetricAccumulator:
    """Move G once, so that D takes `fake`, which carries G's graph, for real. D does not change."""
    discriminator = players.discriminator
    with discriminator.still():
        real_logits = discriminator(tricks.show(batch.real), batch.labels) if loss.generator_sees_real else None
        fake_logits = discriminator(tricks.show(fake), batch.labels)
        total = tricks.guide(loss.generator(real_logits, fake_logits), discriminator.features, batch.real, fake)
    players.generator.update(total)
    return of_generator(total, fake_logits)


def step_both(players: Players, loss: Loss, tricks: Trick, batch: Batch) -> MetricAccumulator:
    """Move both at once: both gradients come from the same images and the same pass through D."""
    fake = players.generator(batch.noise, batch.labels)
    total, (real_logits, fake_logits), numbers = judge(players, loss, tricks, batch, fake)
    for_generator = loss.generator(real_logits, fake_logits)
    for_generator = tricks.guide(for_generator, players.discriminator.features, batch.real, fake)
    players.discriminator.backward(total, keep_graph=True)
    players.generator.backward(for_generator)
    players.discriminator.advance()
    players.generator.advance()
    return numbers | of_generator(for_generator, fake_logits)


def judge(
    players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor], MetricAccumulator]:
    """D's loss, its logits for the real images and for `fake`, and what is logged of both."""
    shown = tricks.show(batch.real), tricks.show(fake)
    logits = players.judge(*shown, batch.labels)
    tricks.observe(batch.real, fake, *logits)
    terms = loss.discriminator(*tricks.label(*logits))
    penalties = tricks.penalties(lambda images: players.discriminator.uncompiled(images, batch.labels), *shown)
    total = sum(penalties.values(), start=loss.total(terms))
    return total, logits, of_discriminator(total, terms | penalties, *logits)


def of_discriminator(
    total: Tensor, terms: MetricAccumulator, real_logits: Tensor, fake_logits: Tensor
) -> MetricAccumulator:
    """D's loss, its terms, and the mean probability of being real that it gave to either kind."""
    predictions = {"loss": total, "real": real_logits.sigmoid().mean(), "fake": fake_logits.sigmoid().mean()}
    return {f"discriminator/{name}": number.detach() for name, number in (predictions | terms).items()}


def of_generator(total: Tensor, fake_logits: Tensor) -> MetricAccumulator:
    """G's loss, and the mean D(G(z)) that it was computed from."""
    return {"generator/loss": total.detach(), "generator/fake": fake_logits.detach().sigmoid().mean()}
