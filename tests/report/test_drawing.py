"""Drawing of curves: labels from run folders, whatever characters they have."""

import warnings
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.figure import Figure

from gan.config.errors import printable
from gan.report.drawing import Curve, Panel, write_figure


@pytest.mark.parametrize("name", ["$x", "_hidden", r"$\frac{1}$", "<b>&", "\x1b[31m", "漢字", "x" * 300, ""])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_text_is_a_label(tmp_path, monkeypatch, name):
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **keys: (drawn.append(self), save(self, *args, **keys)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_figure([Panel(name, [Curve(name, [1, 2], [0.1, 3.0], "red")])], "step", [tmp_path / "a.svg"], name)
    (legend,) = drawn[0].legends
    (label,) = [text.get_text() for text in legend.get_texts()]
    assert label.replace("\n", "").startswith(printable(name)[:50]) and "\x1b" not in label
    assert legend.get_window_extent().x1 <= drawn[0].bbox.x1
    assert drawn[0].axes[0].get_window_extent().height > 100
    texts = [element.text for element in ElementTree.parse(tmp_path / "a.svg").iter() if element.tag.endswith("text")]
    assert any(printable(name)[:30] in (text or "") for text in texts)


def test_a_figure_without_curves_is_drawn(tmp_path):
    write_figure([Panel("a", []), Panel("b", [])], "step", [tmp_path / "a.png"])
    assert (tmp_path / "a.png").stat().st_size > 0
