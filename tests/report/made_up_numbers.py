"""Numbers for made-up runs: curves of training, and scores of the images."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of a run.

    Args:
        quality: of its images at the end of training, 0 (noise) to 1 (as real ones).
        state: as in status.json, or `interrupted`: it says `running`, and its process is gone.
        error: the sentence in status.json.
        progress: the fraction of its steps that it made.
        collapsed: whether its images become nearly the same.
        evaluated: whether gan.evaluate has scored it.
        animated: whether it has samples.gif, which takes longer than all else.
    """

    quality: float = 0.85
    state: str = "finished"
    error: str | None = None
    progress: float = 1.0
    collapsed: bool = False
    evaluated: bool = False
    animated: bool = True

    def quality_at(self, done: float) -> float:
        """Quality of the images after a fraction of all steps: it rises quickly, then slowly."""
        quality = self.quality * (1 - np.exp(-5 * done)) / (1 - np.exp(-5))
        if self.state == "diverged":
            quality *= np.clip(4 * (self.progress - done) / self.progress, 0, 1)
        return float(quality)


def training_curves(done: np.ndarray, fate: Fate, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Logged numbers by name, after fractions `done` of all steps, that go together as with loss=nonsaturating."""
    count = len(done)
    gap = 0.25 + 2 * (1 - fate.quality) + 2.5 * np.exp(-9 * done)  # of the mean logits from 0
    if fate.collapsed:
        gap += 5 * np.clip(done - 0.4, 0, None)
    # mean logits of real and of generated images in D's update, and of generated ones in G's
    real, fake, fooled = (sign * gap + 0.25 * wandering(rng, count) for sign in (1.0, -1.0, -0.85))
    norms = [scale * np.exp(0.3 * wandering(rng, count)) * (0.4 + gap) for scale in (2.2, 1.1)]
    growth = np.zeros(count)
    if fate.state == "diverged":
        growth = np.exp(np.clip(30 * (done / done[-1] - 0.8), -50, 9))
    loss_real, loss_fake = np.logaddexp(0, -real) + growth / 2, np.logaddexp(0, fake) + growth / 2
    return {
        "discriminator/loss": loss_real + loss_fake,
        "discriminator/real": sigmoid(real),
        "discriminator/fake": sigmoid(fake),
        "discriminator/loss_real": loss_real,
        "discriminator/loss_fake": loss_fake,
        "discriminator/gradient_norm": norms[0] * (1 + growth),
        "generator/loss": np.logaddexp(0, -fooled) + 3 * growth,
        "generator/fake": sigmoid(fooled),
        "generator/gradient_norm": norms[1] * (1 + 5 * growth),
    }


def score_numbers(dataset: str, quality: float, collapsed: bool, rng: np.random.Generator) -> dict[str, float]:
    """Metrics by column, as in gan/metrics/catalogue.py, for images of a quality from 0 to 1."""
    quality = float(np.clip(quality + rng.normal(0, 0.008), 0, 1))
    varied = 0.25 * quality if collapsed else quality
    fid = (1 + 300 * (1 - quality) ** 3 + 60 * (quality - varied)) * rng.uniform(0.96, 1.04)
    return {
        f"fid_{dataset}": fid,
        f"kid_{dataset}": fid / 70 - 0.01,
        f"precision_{dataset}": 0.76 * quality**1.5,
        f"recall_{dataset}": 0.81 * varied**1.2,
        f"density_{dataset}": 0.92 * quality**2,
        f"coverage_{dataset}": 0.95 * varied**1.5,
        f"classifier_score_{dataset}": 1 + 8.8 * varied**0.8,
        "modes": float(round(10 * min(1, 1.3 * varied))),
        "modes_in_100": 10 * min(1, 1.2 * varied),
        "class_distance": 0.6 * (1 - varied) ** 1.5,
        "kl": 1.4 * (1 - varied) ** 2,
        "pixel_precision": 0.9 * quality**2,
        "pixel_modes_in_100": 10 * varied,
    }


def wandering(rng: np.random.Generator, count: int) -> np.ndarray:
    """Noise (count,) of standard deviation 1 in which neighbors are alike."""
    steps = rng.normal(size=count)
    values = np.empty(count)
    value = steps[0]
    for number, step in enumerate(steps):
        values[number] = value = 0.6 * value + 0.8 * step
    return values


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
