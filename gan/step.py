"""One update of each player: the GAN algorithm and nothing else (Goodfellow et al. 2014, algorithm 1).

All metrics returned are 0-d tensors on the device. Reading one waits for the GPU.
"""

from typing import NamedTuple

from torch import Tensor

from gan.config.schema import Update
from gan.losses import Loss
from gan.player import Players
from gan.tricks.base import Trick

Metrics = dict[str, Tensor]


class Batch(NamedTuple):
    """The data for one update of a player.

    Args:
        real: images (B, C, H, W) in the pixel range of the generator.
        noise: (B, noise_dim).
        labels: classes int64 (B,) of the real images, and of the fake ones; None if the networks are unconditional.
    """

    real: Tensor
    noise: Tensor
    labels: Tensor | None = None


def step(
    players: Players, loss: Loss, tricks: Trick, update: Update, reuse_fakes: bool, batches: list[Batch]
) -> Metrics:
    """Update D once on each of `batches` but the last, and G once on the last.

    Args:
        update: which player is updated first, or both at once on the last batch.
        reuse_fakes: whether the second player uses the fake images of the first.
    """
    generator, (*discriminator_batches, generator_batch) = players.generator, batches
    if update == "simultaneous":
        return step_both(players, loss, tricks, generator_batch)

    if update == "generator_first":
        fake = generator(generator_batch.noise, generator_batch.labels)
        metrics = step_generator(players, loss, tricks, generator_batch, fake)
        for batch in discriminator_batches:
            new_fake = fake.detach() if reuse_fakes else generator.generate(batch.noise, batch.labels)
            metrics |= step_discriminator(players, loss, tricks, batch, new_fake)
        return metrics

    for batch in discriminator_batches:
        fake = (generator if reuse_fakes else generator.generate)(batch.noise, batch.labels)
        metrics = step_discriminator(players, loss, tricks, batch, fake.detach())
    if not reuse_fakes:
        fake = generator(generator_batch.noise, generator_batch.labels)
    return metrics | step_generator(players, loss, tricks, generator_batch, fake)


def step_discriminator(players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor) -> Metrics:
    """Update D, so that it tells real images from `fake`."""
    total, _, metrics = discriminator_loss(players, loss, tricks, batch, tricks.replay(fake))
    players.discriminator.update(total)
    return metrics | {"discriminator/gradient_norm": players.discriminator.gradient_norm}


def step_generator(players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor) -> Metrics:
    """Update G, so that D takes `fake`, which carries the graph of G, for real."""
    discriminator = players.discriminator
    with discriminator.frozen():
        real_logits = discriminator(tricks.augment(batch.real), batch.labels) if loss.generator_sees_real else None
        fake_logits = discriminator(tricks.augment(fake), batch.labels)
        total = loss.generator(real_logits, fake_logits)
        total = tricks.generator_loss(total, discriminator.features, batch.real, fake)
    players.generator.update(total)
    return generator_metrics(players, total, fake_logits)


def step_both(players: Players, loss: Loss, tricks: Trick, batch: Batch) -> Metrics:
    """Update both players from the same fake images and the same forward pass of D."""
    generator, discriminator = players
    fake = generator(batch.noise, batch.labels)
    total, (real_logits, fake_logits), metrics = discriminator_loss(players, loss, tricks, batch, fake)
    generator_total = loss.generator(real_logits, fake_logits)
    generator_total = tricks.generator_loss(generator_total, discriminator.features, batch.real, fake)
    discriminator.backward(total, retain_graph=True)
    generator.backward(generator_total)
    discriminator.optimizer_step()
    generator.optimizer_step()
    metrics |= {"discriminator/gradient_norm": discriminator.gradient_norm}
    return metrics | generator_metrics(players, generator_total, fake_logits)


def discriminator_loss(
    players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor], Metrics]:
    """D's loss, its logits of the real images and of `fake`, and the metrics of both."""
    augmented = tricks.augment(batch.real), tricks.augment(fake)
    logits = real_logits, fake_logits = players.discriminator_logits(*augmented, batch.labels)
    metrics = {"real": real_logits.sigmoid().mean(), "fake": fake_logits.sigmoid().mean()}
    observed = tricks.observe(batch.real, fake, *logits)
    terms = loss.discriminator(*loss.flip_labels(*logits))
    penalties = tricks.penalties(lambda images: players.discriminator.uncompiled(images, batch.labels), *augmented)
    total = sum(penalties.values(), start=loss.total(terms))
    metrics |= {"loss": total, **terms, **penalties}
    return total, logits, {f"discriminator/{name}": value.detach() for name, value in metrics.items()} | observed


def generator_metrics(players: Players, total: Tensor, fake_logits: Tensor) -> Metrics:
    """G's loss, and the mean D(G(z)) that it was computed from."""
    return {
        "generator/loss": total.detach(),
        "generator/fake": fake_logits.detach().sigmoid().mean(),
        "generator/gradient_norm": players.generator.gradient_norm,
    }
