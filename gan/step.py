"""One update of each player: the algorithm of generative adversarial networks, and nothing else.

Goodfellow et al. 2014, algorithm 1. Real pictures are floats (B, C, H, W) in the generator's range, noise is
(B, noise_dim), and every number returned is a 0-d tensor, still on the device: reading one waits for the GPU.
"""

from torch import Tensor

from gan.losses import Loss
from gan.player import Players
from gan.settings import Update
from gan.tricks import Trick

Numbers = dict[str, Tensor]


def step(
    players: Players,
    loss: Loss,
    tricks: Trick,
    update: Update,
    reuse_fakes: bool,
    reals: list[Tensor],
    noises: list[Tensor],
) -> Numbers:
    """Move D once on each batch of `reals`, and G once.

    Args:
        update: who moves first, or both at once from one forward pass.
        reuse_fakes: whether the second to move sees the fakes that the first one moved on.
        noises: one for each batch of `reals`, and G's own last.
    """
    generator = players.generator
    if update == "simultaneous":
        return step_both(players, loss, tricks, reals[-1], noises[-1])

    if update == "generator_first":
        fake = generator(noises[-1])
        numbers = step_generator(players, loss, tricks, reals[-1], fake)
        for real, noise in zip(reals, noises[:-1], strict=True):
            shown = fake.detach() if reuse_fakes else generator.imagine(noise)
            numbers |= step_discriminator(players, loss, tricks, real, shown)
        return numbers

    for real, noise in zip(reals, noises[:-1], strict=True):
        fake = generator(noise) if reuse_fakes else generator.imagine(noise)
        numbers = step_discriminator(players, loss, tricks, real, fake.detach())
    if not reuse_fakes:
        fake = generator(noises[-1])
    return numbers | step_generator(players, loss, tricks, reals[-1], fake)


def step_discriminator(players: Players, loss: Loss, tricks: Trick, real: Tensor, fake: Tensor) -> Numbers:
    """Move D once, to tell `real` from `fake`. G does not change."""
    total, _, numbers = judge(players, loss, tricks, real, fake)
    players.discriminator.descend(total)
    return numbers


def step_generator(players: Players, loss: Loss, tricks: Trick, real: Tensor, fake: Tensor) -> Numbers:
    """Move G once, so that D takes `fake`, which carries G's graph, for real. D does not change."""
    with players.discriminator.still():
        real_logits = players.discriminator(tricks.show(real)) if loss.generator_sees_real else None
        fake_logits = players.discriminator(tricks.show(fake))
    total = loss.generator(real_logits, fake_logits)
    players.generator.descend(total)
    return of_generator(total, fake_logits)


def step_both(players: Players, loss: Loss, tricks: Trick, real: Tensor, noise: Tensor) -> Numbers:
    """Move both at once: both gradients come from the same pictures and the same pass through D."""
    total, (real_logits, fake_logits), numbers = judge(players, loss, tricks, real, players.generator(noise))
    total_generator = loss.generator(real_logits, fake_logits)
    players.discriminator.backward(total, keep_graph=True)
    players.generator.backward(total_generator)
    players.discriminator.advance()
    players.generator.advance()
    return numbers | of_generator(total_generator, fake_logits)


def judge(
    players: Players, loss: Loss, tricks: Trick, real: Tensor, fake: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor], Numbers]:
    """D's loss, its logits for `real` and `fake`, and what is logged of both."""
    real, fake = tricks.show(real), tricks.show(fake)
    real_logits, fake_logits = players.judge(real, fake)
    terms = loss.discriminator(*tricks.label(real_logits, fake_logits))
    penalties = tricks.penalties(players.discriminator.exactly, real, fake)
    total = sum(penalties.values(), start=loss.total(terms))
    numbers = of_discriminator(total, terms | penalties, real_logits, fake_logits)
    return total, (real_logits, fake_logits), numbers


def of_discriminator(total: Tensor, terms: Numbers, real_logits: Tensor, fake_logits: Tensor) -> Numbers:
    """D's loss, its terms, and the mean probability of being real that it gave to either kind."""
    predictions = {"loss": total, "real": real_logits.sigmoid().mean(), "fake": fake_logits.sigmoid().mean()}
    return {f"discriminator/{name}": number.detach() for name, number in (predictions | terms).items()}


def of_generator(total: Tensor, fake_logits: Tensor) -> Numbers:
    """G's loss, and the mean D(G(z)) that it was computed from."""
    return {"generator/loss": total.detach(), "generator/fake": fake_logits.detach().sigmoid().mean()}
