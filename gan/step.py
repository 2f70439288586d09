"""One training step of a GAN: an update of each player, and nothing else (Goodfellow et al. 2014, algorithm 1).

D is the discriminator, G the generator. All metrics are 0-d tensors on the device: reading one waits for the GPU.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from gan.config.schema import Update
from gan.losses import Loss
from gan.player import Player, Players
from gan.tricks.base import Batch, Trick

Metrics = dict[str, Tensor]


def step(
    players: Players, loss: Loss, tricks: Trick, update: Update, reuse_fakes: bool, batches: list[Batch]
) -> Metrics:
    """Update G once on the last of `batches`, and D once on each of the others.

    With train.accumulate=k, an update has k batches in place of one: players update their weights after the last of k.

    Args:
        update: which player is updated first, or both at once, on G's batches.
        reuse_fakes: whether the player that is updated second uses the fake images of the first.
    """
    generator, last = players.generator, -players.generator.accumulate
    discriminator_batches, generator_batches = batches[:last], batches[last:]
    if update == "simultaneous":
        return mean_of([step_both(players, loss, tricks, batch) for batch in generator_batches])

    discriminator_metrics, generator_metrics = [], []
    if update == "generator_first":
        for batch in generator_batches:
            fake = generator(batch.noise, batch.labels)
            generator_metrics.append(step_generator(players, loss, tricks, batch, fake))
        for batch in discriminator_batches:
            if not reuse_fakes:
                fake = generator.generate(batch.noise, batch.labels)
            discriminator_metrics.append(step_discriminator(players, loss, tricks, batch, fake.detach()))
        return mean_of(generator_metrics) | mean_of(discriminator_metrics)

    # D's update needs no gradient of G, so `generate` builds no graph, unless G's update uses the same fake images.
    generate = generator if reuse_fakes else generator.generate
    for batch in discriminator_batches:
        fake = generate(batch.noise, batch.labels)
        discriminator_metrics.append(step_discriminator(players, loss, tricks, batch, fake.detach()))
    for batch in generator_batches:
        if not reuse_fakes:
            fake = generator(batch.noise, batch.labels)
        generator_metrics.append(step_generator(players, loss, tricks, batch, fake))
    return mean_of(discriminator_metrics) | mean_of(generator_metrics)


def step_discriminator(players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor) -> Metrics:
    """Update D: it learns to tell real images from `fake`, which is detached from G."""
    discriminator_loss, _, _, metrics = compute_discriminator_loss(players, loss, tricks, batch, tricks.replay(fake))
    players.discriminator.update(discriminator_loss)
    return metrics | gradient_norm("discriminator", players.discriminator)


def step_generator(players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor) -> Metrics:
    """Update G: D should take `fake` for real. `fake` is G's output, with its graph."""
    discriminator = players.discriminator
    with discriminator.frozen():
        real_logits = discriminator(tricks.augment(batch.real), batch.labels) if loss.generator_sees_real else None
        fake_input = tricks.augment(fake)
        fake_logits = discriminator(fake_input, batch.labels)
        generator_loss = loss.generator(real_logits, fake_logits)
        generator_loss = tricks.generator_loss(generator_loss, discriminator.features, batch.real, fake)
        terms = tricks.generator_terms(players, batch, fake_input)
        generator_loss = sum(terms.values(), start=generator_loss)
    players.generator.update(generator_loss)
    return metrics_of_generator(players, generator_loss, terms, fake_logits)


def step_both(players: Players, loss: Loss, tricks: Trick, batch: Batch) -> Metrics:
    """Update both players from the same fake images and the same forward pass of D."""
    generator, discriminator = players
    fake = generator(batch.noise, batch.labels)
    discriminator_loss, fake_input, logits, metrics = compute_discriminator_loss(players, loss, tricks, batch, fake)
    generator_loss = loss.generator(*logits)
    generator_loss = tricks.generator_loss(generator_loss, discriminator.features, batch.real, fake)
    terms = tricks.generator_terms(players, batch, fake_input)
    generator_loss = sum(terms.values(), start=generator_loss)
    discriminator.backward(discriminator_loss, retain_graph=True)  # G's backward pass goes through the same graph
    generator.backward(generator_loss)
    discriminator.optimizer_step()
    generator.optimizer_step()
    metrics |= gradient_norm("discriminator", discriminator)
    return metrics | metrics_of_generator(players, generator_loss, terms, logits[1])


def compute_discriminator_loss(
    players: Players, loss: Loss, tricks: Trick, batch: Batch, fake: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Metrics]:
    """D's loss on real images and `fake`, `fake` as D saw it, D's logits (B,) of either, and the metrics to log."""
    discriminator = players.discriminator
    real_input, fake_input = tricks.augment(batch.real), tricks.augment(fake)
    real_logits, fake_logits = players.discriminator_logits(real_input, fake_input, batch.labels)
    observed = tricks.observe(batch.real, fake, real_logits, fake_logits)

    def logits_of(images: Tensor) -> Tensor:  # for penalties on D's gradient, which torch.compile cannot differentiate
        return discriminator.uncompiled(images, batch.labels)

    terms = loss.discriminator(*loss.flip_labels(real_logits, fake_logits))
    penalties = tricks.penalties(logits_of, real_input, fake_input)
    penalties |= tricks.discriminator_terms(players, batch, (real_input, fake_input), (real_logits, fake_logits))
    total = sum(penalties.values(), start=loss.total(terms))
    predictions = {"real": real_logits.sigmoid().mean(), "fake": fake_logits.sigmoid().mean()}  # D(x) and D(G(z))
    logged = {"loss": total, **predictions, **terms, **penalties}
    metrics = {f"discriminator/{name}": value.detach() for name, value in logged.items()}
    return total, fake_input, (real_logits, fake_logits), metrics | observed


def mean_of(parts: list[Metrics]) -> Metrics:
    """The mean of each metric over a player's batches in a step, of which only the last of an update has a norm."""
    if len(parts) == 1:
        return parts[0]
    return {name: torch.stack([part[name] for part in parts if name in part]).mean(0) for name in parts[-1]}


def metrics_of_generator(
    players: Players, generator_loss: Tensor, terms: Mapping[str, Tensor], fake_logits: Tensor
) -> Metrics:
    """G's loss, the terms of it that tricks added, the mean D(G(z)) in G's update, and the norm of G's gradient."""
    logged = {"loss": generator_loss, "fake": fake_logits.detach().sigmoid().mean(), **terms}
    metrics = {f"generator/{name}": value.detach() for name, value in logged.items()}
    return metrics | gradient_norm("generator", players.generator)


def gradient_norm(name: str, player: Player) -> Metrics:
    """The norm of a player's gradient, once it is that of an update."""
    return {} if player.pending else {f"{name}/gradient_norm": player.gradient_norm}
