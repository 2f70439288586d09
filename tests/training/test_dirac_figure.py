"""The figure of a Dirac-GAN."""

import warnings

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver
from PIL import Image

from gan.training.dirac_figure import FARTHEST, SEGMENTS, draw_dirac

ANGLES = np.linspace(0, 20, 300)
SPIRAL = np.exp(-ANGLES / 10)[:, None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def rotate(points):
    """A vector field that turns clockwise."""
    return np.stack([points[:, 1], -points[:, 0]], axis=1)


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """`draw_dirac`, which returns the figure and the size of the image. Warnings are errors."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **keys: (found.append(self), save(self, *args, **keys)))

    def draw_and_open(trajectory, field=rotate, eigenvalues=None, verdict="circles", expected="converges", **keys):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            draw_dirac(tmp_path / "a.png", np.asarray(trajectory, float), field, eigenvalues, verdict, expected, **keys)
        with Image.open(tmp_path / "a.png") as image:
            return found[-1], image.size

    return draw_and_open


def artists(axis, kind):
    """The artists of a kind in an axis."""
    return [artist for artist in axis.get_children() if isinstance(artist, kind)]


def texts_of(figure):
    """All text beside the axes, without its line breaks."""
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_the_path_is_drawn_from_its_start_to_its_end(draw):
    figure, _ = draw(SPIRAL)
    axis = figure.axes[0]
    (path,) = artists(axis, LineCollection)
    segments = np.array(path.get_segments())
    assert (segments[:, 0] == SPIRAL[:-1]).all() and (segments[:, 1] == SPIRAL[1:]).all()
    assert (np.diff(path.get_array()) > 0).all()  # from light to dark
    marks = {line.get_label(): line.get_xydata() for line in axis.lines}
    assert (marks["start"] == SPIRAL[:1]).all() and (marks["end"] == SPIRAL[-1:]).all()
    assert (marks["equilibrium"] == 0).all()
    assert axis.get_xlim()[0] < SPIRAL.min() and SPIRAL.max() < axis.get_ylim()[1]


def test_a_long_path_is_thinned_between_its_ends(draw):
    long = SPIRAL[:1] + np.linspace(0, 1, 3 * SEGMENTS)[:, None]
    (path,) = artists(draw(long)[0].axes[0], LineCollection)
    segments = np.array(path.get_segments())
    assert len(segments) < SEGMENTS and (segments[0, 0] == long[0]).all() and (segments[-1, 1] == long[-1]).all()
    assert (segments[1:, 0] == segments[:-1, 1]).all()


def test_the_arrows_have_the_direction_of_the_field(draw):
    (arrows,) = artists(draw(SPIRAL)[0].axes[0], Quiver)
    vectors = np.stack([arrows.U, arrows.V], axis=1)
    assert np.hypot(*vectors.T) == pytest.approx(1)
    assert (vectors * arrows.XY).sum(axis=1) == pytest.approx(0, abs=1e-9)
    assert (np.linalg.det(np.stack([arrows.XY, vectors], axis=1)) < 0).all()


def test_a_path_to_infinity_leaves_the_figure(draw):
    figure, _ = draw(SPIRAL[::-1] * 10.0 ** np.arange(300)[:, None])
    start = np.abs(SPIRAL[-1]).max()
    assert figure.axes[0].get_xlim()[1] == pytest.approx(1.15 * FARTHEST * start)


@pytest.mark.parametrize(
    ("eigenvalues", "place"),
    [
        ([0.97 + 0.1j, 0.97 - 0.1j], "0.025 inside"),
        ([1 + 0.1j, 1 - 0.1j], "0.005 outside"),
        ([0.6 + 0.8j, 0.6 - 0.8j], "on the circle"),
        ([-3.0, 0.5], "2 outside"),
    ],
)
def test_eigenvalues_are_in_the_unit_circle_with_their_place(draw, eigenvalues, place):
    figure, _ = draw(SPIRAL, eigenvalues=np.array(eigenvalues))
    axis = figure.axes[1]
    assert axis.lines[0].get_xydata() == pytest.approx(np.array([[value.real, value.imag] for value in eigenvalues]))
    box = axis.get_window_extent()
    assert box.width == pytest.approx(box.height) and axis.get_xlim() == axis.get_ylim()  # a circle is round
    assert axis.get_xlim()[0] < min(-1, *np.real(eigenvalues))
    (circle,) = axis.patches
    assert circle.get_radius() == 1 and circle.center == (0, 0)
    assert place in texts_of(figure)


def test_verdict_and_theory_are_side_by_side(draw):
    figure, _ = draw(SPIRAL, verdict="circles", expected="does not converge", title="non-saturating, no trick")
    text = texts_of(figure)
    assert text.index("non-saturating") < text.index("this run: circles") < text.index("theory: does not converge")
    assert "no eigenvalues" in text and "theory: none" in texts_of(draw(SPIRAL, expected=None)[0])


BAD = {
    "one point": [[1, 1]],
    "the equilibrium": [[0, 0]] * 5,
    "NaN": [[1, 1], [np.nan, 0], [2, 2]],
    "only NaN": [[np.nan, np.nan]] * 5,
    "infinite": [[1, 1], [np.inf, -np.inf]],
    "empty": np.zeros((0, 2)),
}


@pytest.mark.parametrize("name", BAD)
def test_any_path_gives_a_figure_of_the_same_size(draw, name):
    assert draw(BAD[name], eigenvalues=np.array([np.nan, 1]))[1] == draw(SPIRAL)[1]
    draw(BAD[name], field=lambda points: points * np.nan)
    draw(BAD[name], field=lambda points: points * 0)


@pytest.mark.parametrize("text", ["$x", "x" * 300, "漢字", ""])
def test_any_text_stays_within_the_figure(draw, text):
    figure, _ = draw(SPIRAL, verdict=text, expected=text, title=text)
    for shown in figure.texts:
        box = shown.get_window_extent()
        assert box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1
