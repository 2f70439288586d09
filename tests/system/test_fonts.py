"""Fonts: matplotlib's own, and one of the machine for what they lack."""

import shutil
from pathlib import Path

import pytest

from gan.system import fonts


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose fonts are those in a folder, which is returned."""
    for function in (fonts.system_fonts, fonts.most_complete):
        function.cache_clear()
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: [str(path) for path in tmp_path.iterdir()])
    monkeypatch.setattr(fonts.font_manager.fontManager, "ttflist", [*fonts.font_manager.fontManager.ttflist])
    yield tmp_path
    for function in (fonts.system_fonts, fonts.most_complete):
        function.cache_clear()


def test_a_text_is_in_our_font_where_that_has_all_its_characters(machine):
    shutil.copy(fonts.own_font("DejaVuSans"), machine / "A.ttf")
    assert fonts.font_for("model=mlp ± ↓ ж", "DejaVuSans") == fonts.own_font("DejaVuSans")


def test_a_character_that_our_font_lacks_is_taken_from_one_of_the_machine(machine):
    lacking = chr(
        min(fonts.characters_of(fonts.own_font("STIXGeneral")) - fonts.characters_of(fonts.own_font("DejaVuSansMono")))
    )
    shutil.copy(fonts.own_font("STIXGeneral"), machine / "Other.ttf")
    (machine / "damaged.ttf").write_bytes(b"no font")
    assert fonts.font_for(f"a {lacking}", "DejaVuSansMono") == machine / "Other.ttf"


def test_where_no_font_has_a_character_ours_stays(machine):
    assert fonts.font_for("\U000e0fff", "DejaVuSans") == fonts.own_font("DejaVuSans")


def test_matplotlib_gets_the_families_of_all_labels(machine):
    source = fonts.own_font("STIXGeneral")
    lacking = chr(min(fonts.characters_of(source) - fonts.characters_of(fonts.own_font("DejaVuSans"))))
    shutil.copy(source, machine / "Other.ttf")
    assert fonts.families(["plain", lacking]) == ["DejaVu Sans", "STIXGeneral"] and fonts.families([]) == [
        "DejaVu Sans"
    ]
    assert machine / "Other.ttf" in [Path(font.fname) for font in fonts.font_manager.fontManager.ttflist]
