"""The contact sheet of a sweep: one image with a row of samples for each run. Imports no torch."""

import functools
import io
import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan.cli.sweep_results import MAX_SHOWN, SweepRun
from gan.config.errors import first_line, printable
from gan.system import files, fonts
from gan.system.images import damage, identify, read_png

SAMPLES, TILE, GAP = 10, 64, 2  # samples in a row; side and distance in pixels
LARGEST_TILE = 256  # side in pixels: a larger image alone is no sample but a figure, as of points
FIGURE = 400  # height of a figure, at most
MARGIN = 24  # around and between the rows
WIDTH = SAMPLES * (TILE + GAP) - GAP
LINE_HEIGHT, FONT_SIZE, TITLE_SIZE = 17, 13, 18
MAX_LINES, MAX_CHARACTERS, MIN_CHARACTERS = 3, 1000, 5  # of a longer text the end is cut
BLACK, GRAY, RED = (20, 20, 20), (105, 105, 105), (176, 0, 32)
ASPECT = 1.4  # width of a sheet over its height, about


def draw_sheet(title: str, runs: Sequence[SweepRun]) -> Image.Image:
    """An image with `title` and the first MAX_SHOWN of the runs, from top to bottom in columns of about one height."""
    rows = [draw_row(run) for run in runs[:MAX_SHOWN]]
    bottoms = list(itertools.accumulate(row.height + MARGIN for row in rows))
    count = max(1, round(math.sqrt(ASPECT * bottoms[-1] / (WIDTH + MARGIN))))
    columns: list[list[Image.Image]] = [[] for _ in range(count)]
    for row, bottom in zip(rows, bottoms, strict=True):
        columns[count * (bottom - 1) // bottoms[-1]].append(row)
    top, height = 2 * MARGIN + TITLE_SIZE, max(sum(row.height + MARGIN for row in column) for column in columns)
    sheet = Image.new("RGB", (MARGIN + count * (WIDTH + MARGIN), top + height), "white")
    title_font = font("DejaVuSans-Bold", TITLE_SIZE, title)
    ImageDraw.Draw(sheet).text((MARGIN, MARGIN), printable(title), BLACK, title_font)
    for number, column in enumerate(columns):
        y = top
        for row in column:
            sheet.paste(row, (MARGIN + number * (WIDTH + MARGIN), y))
            y += row.height + MARGIN
    return sheet


def draw_row(run: SweepRun) -> Image.Image:
    """What was swept, how the run ended, and samples where it has any: an image of WIDTH pixels."""
    tiles, problem = read_samples(run)
    scores = [f"{name} {value:.4g}" for name, value in run.fid.items()]
    note = "  ".join(filter(None, (*scores, problem, ending(run))))
    is_good = run.outcome["state"] == "finished" and not problem
    texts = ((run.label, BLACK), (note, GRAY if is_good else RED))
    row_font = font("DejaVuSansMono", FONT_SIZE, run.label + note)
    lines = [(line, color) for text, color in texts for line in wrap(text, row_font, WIDTH)]
    top = len(lines) * LINE_HEIGHT + 2 * GAP
    row = Image.new("RGB", (WIDTH, top + max((tile.height for tile in tiles), default=0)), "white")
    for number, (line, color) in enumerate(lines):
        ImageDraw.Draw(row).text((0, number * LINE_HEIGHT), line, color, row_font)
    for number, tile in enumerate(tiles):
        row.paste(tile, (number * (tile.width + GAP), top))
    return row


def ending(run: SweepRun) -> str:
    """How the run ended, in a sentence; empty if it has finished."""
    state, step, error = (run.outcome[name] for name in ("state", "step", "error"))
    if state == "finished":
        return ""
    return f"{state.capitalize()}: {error}" if error else f"{state.capitalize()} after {step} steps."


def read_samples(run: SweepRun, count: int = SAMPLES, width: int = WIDTH) -> tuple[list[Image.Image], str]:
    """The first samples of the run, from final.png if it has finished, or else its last grid; and why there are none.

    Those of step 0 do not count. A figure is at most `width` pixels wide.
    """
    grids = {step: path for step, path in files.sample_grids(run.folder).items() if step}
    final = run.folder / "final.png"
    path = final if run.outcome["state"] == "finished" and final.is_file() else grids[max(grids)] if grids else None
    if path is None:
        return [], "No samples."
    try:
        if files.leads_out(path, run.folder):
            raise ValueError(f"{path.name} is a link outside the run folder, not followed")
        return fit_samples(cut_grid(path, count), width), ""
    except (OSError, ValueError) as error:
        return [], f"{path.name} cannot be read: {first_line(error)}."


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int = MAX_LINES) -> list[str]:
    """Text in at most so many lines, none of which is wider than `width` pixels."""
    shown = printable(text)[:MAX_CHARACTERS]
    most = max(MIN_CHARACTERS, int(width / font.getlength("i")))
    for characters in range(min(most, len(shown)), MIN_CHARACTERS, -1):
        lines = textwrap.wrap(shown, characters, max_lines=max_lines, placeholder=" ...", break_on_hyphens=False)
        if all(font.getlength(line) <= width for line in lines):
            return lines
    return [shown[:MIN_CHARACTERS]] if shown else []


def font(name: str, size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """A font of matplotlib's, which has more characters than Pillow's own, or one that has more of those in `text`."""
    return load_font(fonts.font_for(printable(text), name), size)


@functools.cache
def load_font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


def cut_grid(path: Path, count: int = SAMPLES) -> list[Image.Image]:
    """The first `count` images of a grid. Raises OSError or ValueError where it cannot be read.

    The lines between them are one pixel wide, and of the color of its corner.
    """
    with damage(), identify(io.BytesIO(read_png(path)), ["PNG"]) as image:
        grid = image.convert("RGB")
    pixels = np.asarray(grid)
    is_line = (pixels == pixels[0, 0]).all(axis=2)
    boxes = [
        (left, top, right, bottom)
        for top, bottom in spans(is_line.all(axis=1))
        for left, right in spans(is_line.all(axis=0))
    ]
    filled = (box for box in boxes if not is_line[box[1] : box[3], box[0] : box[2]].all())
    return [grid.crop(box) for box in itertools.islice(filled, count)] or [grid]


def spans(is_line: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last pixel of each image along a side of a grid; those of the whole side where it has no lines.

    Args:
        is_line: bool (pixels,), whether that row or column of pixels may be a line.
    """
    last = len(is_line) - 1
    periods = (period for period in range(2, last + 1) if last % period == 0 and is_line[::period].all())
    period = next(periods, None)
    if period is None:
        yield 0, len(is_line)
    else:
        for start in range(0, last, period):
            yield start + 1, start + period


def fit_samples(tiles: list[Image.Image], width: int = WIDTH) -> list[Image.Image]:
    """Samples as a sheet shows them: those of a grid at about TILE pixels, a figure so that its text can be read."""
    if len(tiles) > 1 or max(tiles[0].size) <= LARGEST_TILE:
        return [enlarge(tile) for tile in tiles]
    figure = tiles[0]
    scale = min(width / figure.width, FIGURE / figure.height)
    size = round(scale * figure.width), round(scale * figure.height)
    return [figure.resize(size, Image.Resampling.LANCZOS)]


def enlarge(tile: Image.Image) -> Image.Image:
    """A sample at about TILE pixels: a small one a whole number of times as large, so that each pixel can be seen."""
    side = max(tile.size)
    if side <= TILE:
        return tile.resize((tile.width * (TILE // side), tile.height * (TILE // side)), Image.Resampling.NEAREST)
    width, height = (max(1, round(length * TILE / side)) for length in tile.size)
    return tile.resize((width, height), Image.Resampling.LANCZOS)
