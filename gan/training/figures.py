"""The figures of one run, from its metrics.jsonl."""

import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from gan.system import files


def plot_figures(folder: Path, undecided: float | None) -> None:
    """Draw figures/losses.png (D above G) and figures/predictions.png (D(x) and D(G(z)) in one).

    `undecided` is the prediction of a D that cannot tell real from fake; None where its logits say no such thing.
    """
    logged = files.read_rows(folder / "metrics.jsonl")
    (folder / "figures").mkdir(exist_ok=True)

    panels = [("discriminator", "tab:blue"), ("generator", "tab:orange")]
    figure, axes = plt.subplots(2, 1, sharex=True, figsize=(7, 6), layout="constrained")
    for axis, (player, color) in zip(axes, panels, strict=True):
        curve(axis, logged, f"{player}/loss", f"{player}'s loss", color)
    terms = [("loss_real", "its term on real images"), ("loss_fake", "its term on fakes")]
    for style, (term, label) in zip(("--", ":"), terms, strict=True):
        curve(axes[0], logged, f"discriminator/{term}", label, "tab:blue", linestyle=style, alpha=0.6)
    finish(figure, axes, folder / "figures" / "losses.png")

    figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
    curve(axis, logged, "discriminator/real", "D(x), real images", "tab:blue")
    curve(axis, logged, "discriminator/fake", "D(G(z)), fakes, in D's step", "tab:orange")
    curve(axis, logged, "generator/fake", "D(G(z)), in G's step", "tab:orange", linestyle=":", alpha=0.6)
    if undecided is not None:
        axis.axhline(undecided, color="gray", linewidth=0.8, linestyle=":")
    axis.set_ylim(0, 1)
    finish(figure, [axis], folder / "figures" / "predictions.png")


def curve(axis: plt.Axes, logged: list[dict[str, Any]], name: str, label: str, color: str, **style: Any) -> None:
    """One number over the epochs, where it was logged; a gap where it was not finite."""
    points = [(row.get("epoch"), math.nan if row[name] is None else row[name]) for row in logged if name in row]
    points = [point for point in points if all(isinstance(number, (int, float)) for number in point)]
    if points:
        epochs, values = zip(*points, strict=True)
        marker = "." if len(points) < 20 else None
        axis.plot(epochs, values, label=label, color=color, linewidth=1, marker=marker, **style)


def finish(figure: plt.Figure, axes: list[plt.Axes], path: Path) -> None:
    """Label and save."""
    axes[-1].set_xlabel("epoch")
    for axis in axes:
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="best", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
