"""What the figures of points share: colors, style, arrows, the discriminator, and how they are written."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gan.report.drawing import STYLE
from gan.system import files, fonts

Function = Callable[[np.ndarray], np.ndarray]  # of points (k, d): D's logits (k,), or their gradients (k, d)

BLUE, ORANGE, GRAY = "tab:blue", "tab:orange", "0.4"  # real, generated, and remarks
DPI, WIDTH = 100, 7.0  # pixels per inch; inches, of a wide figure


class DrawnDiscriminator(NamedTuple):
    """What a figure shows of D: see `gan.training.point_figures.draw_points`."""

    logits: Function | None
    gradients: Function | None
    is_probability: bool

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        """D's probabilities or logits (k,) of points (k, d)."""
        from scipy.special import expit  # takes long to import, and runs on images draw no points

        assert self.logits is not None
        values = np.asarray(self.logits(points.astype(np.float32)), dtype=float)
        return expit(values) if self.is_probability else values


def draw_arrows(axis: Axes, points: np.ndarray, arrows: np.ndarray, **style: Any) -> None:
    """Arrows (k, 2) from points (k, 2), in the units of the axes."""
    axis.quiver(*points.T, *arrows.T, angles="xy", scale_units="xy", scale=1, **style)


@contextmanager
def figure_style(*texts: str) -> Iterator[None]:
    """The style of `gan.report.drawing`, with fonts for these texts."""
    with matplotlib.rc_context(STYLE | {"font.family": fonts.families(texts)}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # from all fonts of this machine
        yield


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG. Equal figures get equal bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    with files.atomic_write(path, durable=False) as file:
        file.write(content.getvalue())
