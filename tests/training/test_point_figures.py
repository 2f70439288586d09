"""Figures of points: what is drawn, where, and that each can be the frame of a GIF."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.quiver import Quiver
from PIL import Image

from gan.config.errors import printable
from gan.data import point_sets
from gan.training.point_curves import round_up
from gan.training.point_figures import ARROWS, PROJECTED, SHOWN_POINTS, draw_points

RANDOM = np.random.default_rng(0)
REAL = {d: RANDOM.normal(size=(2000, d)).astype(np.float32) for d in (1, 2, 3)}
NOISE = RANDOM.uniform(-1.5, 1.5, size=(300, 1)).astype(np.float32)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, in this order. Warnings of numpy and matplotlib are errors."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **keys: (found.append(self), save(self, *args, **keys)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        yield found


def draw(path, real, generated, noise=None, logits=None, gradients=None, title="step 1", **keys):
    """`draw_points` to a file in a folder. Returns the size of the image."""
    noise = np.zeros((len(generated), 2), np.float32) if noise is None else noise
    draw_points(path / "a.png", real, generated, noise, logits, gradients, title, **keys)
    with Image.open(path / "a.png") as image:
        return image.size


def artists(figure, kind):
    """The artists of a kind in a figure."""
    return [artist for axis in figure.axes for artist in axis.get_children() if isinstance(artist, kind)]


def lines_of(figure):
    """The curves of a figure by their label."""
    return {line.get_label(): line.get_xydata() for axis in figure.axes for line in axis.lines}


def logits_of(x):
    """A D that is linear in the first coordinate."""
    return x[:, 0]


def gradients_of(x):
    """Its gradient."""
    return np.eye(1, x.shape[1]).repeat(len(x), 0)


BAD = {
    "collapsed": lambda points: points[:1].repeat(300, 0),
    "far outside": lambda points: points[:300] * 1e30,
    "NaN": lambda points: points[:300] * np.float32(np.nan),
    "partly NaN": lambda points: np.where(np.arange(300)[:, None] < 10, np.float32(np.inf), points[:300]),
    "one point": lambda points: points[:1],
    "none": lambda points: points[:0],
}
FUNCTIONS = {
    "no D": None,
    "constant": lambda x: 0 * x[:, 0],
    "NaN": lambda x: x[:, 0] * np.nan,
    "partly NaN": lambda x: np.where(x[:, 0] > 0, np.nan, x[:, 0]),
    "infinite": lambda x: np.where(x[:, 0] > 0, np.inf, -np.inf),
    "steep": lambda x: 1e6 * x[:, 0],
}


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("kind", BAD)
def test_all_figures_of_a_run_have_the_same_size_and_axes(tmp_path, drawn, d, kind):
    sizes = set()
    for generated in (REAL[d][:300], BAD[kind](REAL[d])):
        sizes.add(draw(tmp_path, REAL[d], generated, None, logits_of, gradients_of))
    usual, other = ([(*axis.get_xlim(), *axis.get_ylim()) for axis in figure.axes] for figure in drawn)
    assert len(sizes) == 1 and usual == other
    places = [[axis.get_position().bounds for axis in figure.axes] for figure in drawn]
    assert places[0] == places[1]


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_discriminator_is_drawn(tmp_path, drawn, d, name):
    function = FUNCTIONS[name]
    gradients = None if function is None else lambda x: function(x)[:, None] + 0 * x
    for is_probability in (True, False):
        draw(tmp_path, REAL[d], REAL[d][:300], NOISE, function, gradients, is_probability=is_probability)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_figures_need_neither_real_nor_generated_points(tmp_path, drawn, d):
    none = REAL[d][:0]
    for real, generated, noise in ((REAL[d], none, none), (none, REAL[d], REAL[d]), (none, none, none)):
        draw(tmp_path, real, generated, noise)
    assert not any("generated" in line for line in lines_of(drawn[0]))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_identical_real_points_have_axes_around_them(tmp_path, drawn, d):
    draw(tmp_path, np.full((50, d), 3.0, np.float32), REAL[d][:300])
    assert drawn[0].axes[0].get_xlim() == (2, 4)


def test_the_density_of_as_many_points_as_a_run_shows_fills_a_square_and_ends_at_its_edge(tmp_path, drawn):
    board = point_sets.checkerboard(tmp_path, tmp_path, "train", count=100_000, seed=0, limit=SHOWN_POINTS)
    draw(tmp_path, board.images.numpy(), REAL[2][:0])
    (density,) = artists(drawn[0], AxesImage)
    shades = np.asarray(density.get_array())  # rows are along y
    left, right, *_ = density.get_extent()
    middles = left + (np.arange(len(shades)) + 0.5) * (right - left) / len(shades)
    part = middles - np.floor(middles)
    is_inside = (part > 0.15) & (part < 0.85) & (np.abs(middles) < 2)
    is_filled = np.add.outer(np.floor(middles), np.floor(middles)) % 2 == 0
    filled, empty = (shades[np.outer(is_inside, is_inside) & each] for each in (is_filled, ~is_filled))
    assert filled.min() > 0.75 * filled.max() and empty.max() < 0.2 * filled.max()


def test_of_points_in_space_a_part_is_drawn_one_by_one(tmp_path, drawn):
    draw(tmp_path, np.tile(REAL[3], (3, 1)), REAL[3][:300])
    counts = {len(line.get_xdata()) for axis in drawn[0].axes for line in axis.lines}
    assert counts == {PROJECTED, 300}


def test_points_of_four_dimensions_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="4"):
        draw(tmp_path, np.zeros((5, 4), np.float32), np.zeros((5, 4), np.float32))


def test_equal_figures_have_equal_bytes(tmp_path):
    contents = []
    for _ in range(2):
        draw(tmp_path, REAL[2], REAL[2][:300], None, logits_of, gradients_of)
        contents.append((tmp_path / "a.png").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("title", ["$x", "x" * 300, "漢字" * 5, "\x1b[31m", ""])
@pytest.mark.parametrize("d", [1, 2])
def test_any_text_is_a_title_within_the_figure(tmp_path, drawn, title, d):
    draw(tmp_path, REAL[d], REAL[d][:300], title=title)
    (shown,) = [text for text in drawn[0].texts if text.get_fontsize() == 8.5]
    box = shown.get_window_extent()
    assert "\x1b" not in shown.get_text() and shown.get_text().startswith(printable(title)[:20])
    assert box.x0 >= 0 and box.x1 <= drawn[0].bbox.x1 and box.y0 >= drawn[0].axes[0].get_window_extent().y1 - 1


def test_points_that_cannot_be_seen_are_counted(tmp_path, drawn):
    generated = np.array([[0, 0], [1e6, 0], [0, -99], [np.nan, 0], [0, 1]], np.float32)
    draw(tmp_path, REAL[2], generated)
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert texts == ["2 of 5 points outside\n1 of 5 points not finite"]


def test_the_density_is_darkest_at_the_real_points(tmp_path, drawn):
    real = np.array([[2, 0]] * 50 + [[-2, 1], [0, -2]], np.float32)
    draw(tmp_path, real, real[:1])
    (image,) = drawn[0].axes[0].images
    shades, (left, right, bottom, top) = image.get_array(), image.get_extent()
    row, column = np.unravel_index(shades.argmax(), shades.shape)
    height, width = shades.shape
    assert left + (column + 0.5) / width * (right - left) == pytest.approx(2, abs=0.1)
    assert bottom + (row + 0.5) / height * (top - bottom) == pytest.approx(0, abs=0.1)
    assert image.origin == "lower"


@pytest.mark.parametrize("is_probability", [True, False])
def test_level_lines_are_where_d_has_their_value(tmp_path, drawn, is_probability):
    def logits(x):
        return 2 * x[:, 0] - x[:, 1]

    draw(tmp_path, REAL[2], REAL[2][:5], logits=logits, is_probability=is_probability)
    (contour,) = artists(drawn[0], ContourSet)
    found = 0
    for level, path in zip(contour.levels, contour.get_paths(), strict=True):
        expected = np.log(level / (1 - level)) if is_probability else level
        points = path.vertices[np.isfinite(path.vertices).all(axis=1)]
        assert np.abs(logits(points) - expected).max() < 0.05 * (1 + abs(expected))
        found += len(points)
    assert found and (0.5 in contour.levels) == is_probability


def test_arrows_run_along_the_gradient_of_d_at_generated_points(tmp_path, drawn):
    generated = REAL[2][:200]
    draw(tmp_path, REAL[2], generated, gradients=lambda x: -3.0 * x)
    (arrows,) = artists(drawn[0], Quiver)
    points, vectors = arrows.XY, np.stack([arrows.U, arrows.V], axis=1)
    assert len(points) == ARROWS and (points[:, None] == generated).all(axis=2).any(axis=1).all()
    ratios = vectors / points
    assert ratios == pytest.approx(np.full_like(ratios, ratios[0, 0])) and ratios[0, 0] < 0
    left, right = drawn[0].axes[0].get_xlim()
    assert np.hypot(*vectors.T).max() == pytest.approx((right - left) / 9)


def test_the_curves_of_points_on_a_line_are_densities_and_d(tmp_path, drawn):
    generated = NOISE / 3 + 1
    draw(tmp_path, REAL[1], generated, NOISE, lambda x: 2 * x[:, 0])
    curves = lines_of(drawn[0])
    for name, points in (("data", REAL[1]), ("generated", generated)):
        xs, ys = curves[name].T
        assert np.trapezoid(ys, xs) == pytest.approx(1, abs=0.01)
        assert np.trapezoid(ys * xs, xs) == pytest.approx(points.mean(), abs=0.02)
    xs, ys = curves["D"].T
    assert ys == pytest.approx(1 / (1 + np.exp(-2 * xs)), abs=1e-6)
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["data", "generated", "D"]


def test_a_logit_that_is_no_probability_has_an_axis_of_its_own(tmp_path, drawn):
    draw(tmp_path, REAL[1], NOISE, NOISE, lambda x: 70 + 0 * x[:, 0], is_probability=False)
    assert lines_of(drawn[0])["D's logit"][:, 1] == pytest.approx(np.full(400, 70.0))
    assert (-100, 100) in [axis.get_ylim() for axis in drawn[0].axes]


@pytest.mark.parametrize(("value", "bound"), [(0, 1), (0.3, 0.5), (1, 1), (7, 10), (1.5e-7, 2e-7), (2.1e30, 5e30)])
def test_an_axis_is_rounded_up_to_1_2_or_5(value, bound):
    assert round_up(value) == pytest.approx(bound)


def test_the_map_of_g_runs_from_noise_to_points(tmp_path, drawn):
    generated = NOISE * 0.5 + 1
    draw(tmp_path, REAL[1], generated, NOISE)
    (arrows,) = artists(drawn[0], Quiver)
    left, right = drawn[0].axes[0].get_xlim()
    noise = NOISE.min() + (arrows.XY[:, 0] - left) / (right - left) * np.ptp(NOISE)
    assert arrows.XY[:, 0] + arrows.U == pytest.approx(noise * 0.5 + 1, abs=1e-5)
    assert set(arrows.XY[:, 1]) == {0} and set(arrows.V) == {1}
    assert arrows.XY[:, 0].min() == pytest.approx(left) and arrows.XY[:, 0].max() == pytest.approx(right)


def test_noise_of_several_dimensions_has_no_map(tmp_path, drawn):
    draw(tmp_path, REAL[1], NOISE, np.zeros((300, 2), np.float32))
    assert not artists(drawn[0], Quiver) and len(drawn[0].axes) == 1


def test_points_in_space_are_seen_along_each_axis(tmp_path, drawn):
    draw(tmp_path, REAL[3], REAL[3][:300] + 1)
    pairs = [(axis.get_xlabel(), axis.get_ylabel()) for axis in drawn[0].axes]
    assert pairs == [("x", "y"), ("x", "z"), ("y", "z")]
    for axis, columns in zip(drawn[0].axes, ([0, 1], [0, 2], [1, 2]), strict=True):
        real, generated = (line.get_xydata() for line in axis.lines)
        assert (real == REAL[3][:, columns]).all() and (generated == REAL[3][:300, columns] + 1).all()


def test_a_figure_replaces_the_one_before(tmp_path):
    (tmp_path / "a.png").write_text("old")
    draw(tmp_path, REAL[2], REAL[2][:5])
    assert [path.name for path in Path(tmp_path).iterdir()] == ["a.png"]
