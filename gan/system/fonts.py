"""Fonts of images and figures: matplotlib's own, and one of this machine for characters that those lack."""

import functools
from collections.abc import Iterable
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

OWN = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def own_font(name: str) -> Path:
    """A font of matplotlib's, such as `DejaVuSans`, which is the same on every machine."""
    return OWN / f"{name}.ttf"


@functools.cache
def characters_of(path: Path) -> frozenset[int]:
    """The characters that a font has, by number; none where the file cannot be read as a font."""
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def font_for(text: str, name: str) -> Path:
    """The font of matplotlib's with this name, or one of the machine that has more of the characters in `text`.

    Chinese, Japanese and Korean labels, for example, are boxes in matplotlib's fonts.
    """
    return most_complete(frozenset(map(ord, text)), own_font(name))


@functools.cache
def most_complete(characters: frozenset[int], usual: Path) -> Path:
    """`usual`, unless a font of this machine has more of the characters; of equals the first by name."""
    if characters <= characters_of(usual):
        return usual
    return max([usual, *system_fonts()], key=lambda path: len(characters & characters_of(path)))


@functools.cache
def system_fonts() -> list[Path]:
    """The font files of this machine, upright and regular ones first."""
    paths = map(Path, font_manager.findSystemFonts())
    return sorted(paths, key=lambda path: (not path.stem.lower().endswith(("regular", "sans")), path.name))


def families(texts: Iterable[str]) -> list[str]:
    """The font families that matplotlib takes the characters of `texts` from, in this order."""
    usual = own_font("DejaVuSans")
    found = dict.fromkeys(most_complete(frozenset(map(ord, text)), usual) for text in texts)
    names = []
    for path in found:
        if path != usual:
            font_manager.fontManager.addfont(path)
            names.append(FT2Font(str(path)).family_name)
    return list(dict.fromkeys(["DejaVu Sans", *names]))
