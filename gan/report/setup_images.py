"""The sample images of a published set-up after its author's epochs: of one seed all, and of each seed a row."""

import io
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from gan.cli.contact_sheet import font, spans
from gan.report.claim_files import Images
from gan.report.runs import RunFolder
from gan.report.setup_curves import plain
from gan.system import files
from gan.system.images import read_image

WIDTH, MARGIN, LINE, LABEL = 880, 12, 18, 52  # of a sheet, around its tiles, of a line of text, left of a row: pixels
MAX_SIDE = 2000  # of a grid in pixels
MAX_SCALE, TILES_A_ROW = 3, 3  # small images are enlarged where so many tiles still fit into a row
MAX_GRIDS_BYTES, MAX_ROWS_BYTES = 120_000, 60_000  # of the PNGs, so that the repository stays small
GRAYS, COLORS = (16, 8, 4), (128, 64, 32)  # of a PNG, the best first
TOLERANCE = 0.005  # epochs: those of a step are rounded


class Tile(NamedTuple):
    """An image with a line of text above it."""

    title: str
    image: Image.Image


def draw_grids(plan: Images, title: str, run: RunFolder) -> bytes | None:
    """A PNG with the whole grid of fixed noise after each time of the plan; None where there is none.

    Grids of one row are left to `draw_rows`. Of grids that are too large for the PNG the upper left part is shown.
    """
    grids = grids_of(plan, run)
    if not any(len(parts_of(grid)[0]) > 1 for grid in grids.values()):
        return None

    def draw(part: int) -> Image.Image:
        tiles = [Tile(name, crop(grid, None, part)) for name, grid in grids.items()]
        shown = f", the upper left {math.prod(map(len, parts_of(tiles[0].image)))} of each grid" if part > 1 else ""
        return draw_sheet(f"{plain(title)}{shown}", tiles)

    return encode_within(MAX_GRIDS_BYTES, draw)


def draw_rows(plan: Images, runs: dict[str, RunFolder]) -> bytes | None:
    """A PNG with a tile for each run: the first row of its grid after each time of the plan; None without grids."""
    grids = {title: grids_of(plan, run) for title, run in runs.items()}
    names = [*(time_label(plan, at) for at in plan.at), "real"]
    if not any(grids.values()):
        return None

    def draw(part: int) -> Image.Image:
        rows = {title: {name: crop(grid, 1, part) for name, grid in of_run.items()} for title, of_run in grids.items()}
        count = max(len(parts_of(row)[1]) for of_run in rows.values() for row in of_run.values())
        tiles = [Tile(plain(title), stack_rows(names, of_run)) for title, of_run in rows.items()]
        return draw_sheet(f"the first {count} images of each grid, by {plan.unit}", tiles)

    return encode_within(MAX_ROWS_BYTES, draw)


def grids_of(plan: Images, run: RunFolder) -> dict[str, Image.Image]:
    """The sample grids after the times of the plan, as far as there are any, and then the real images."""
    steps = {int(path.stem.rpartition("_")[2]): path.name for path in run.sample_grids}
    found = {}
    for at in plan.at:
        names = [
            files.grid_name(step, "normalized") if plan.normalized else name
            for step, name in steps.items()
            if (step == at if plan.unit == "step" else abs(run.epoch_of(step) - at) < TOLERANCE)
        ]
        if names and (grid := read_grid(run, names[0])):
            found[time_label(plan, at)] = grid
    if found and (real := read_grid(run, "real.png")):
        found["real"] = real
    return found


def time_label(plan: Images, at: int) -> str:
    return f"{plan.unit} {at}"


def read_grid(run: RunFolder, name: str) -> Image.Image | None:
    """A grid of the run in gray or RGB; None where it cannot be read, or is none of ours by its size."""
    image = run.read(read_image, f"samples/{name}")
    if image is None or max(image.size) > MAX_SIDE:
        return None
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def parts_of(grid: Image.Image) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """First and last pixel of each row and of each column of images.

    The lines between them have the color of the grid's corner.
    """
    pixels = np.asarray(grid.convert("RGB"))
    is_line: np.ndarray = np.all(pixels == pixels[0, 0], axis=2)
    return list(spans(np.all(is_line, axis=1))), list(spans(np.all(is_line, axis=0)))


def crop(grid: Image.Image, row_count: int | None, part: int) -> Image.Image:
    """The upper left part of a grid, with the lines around its images.

    Args:
        row_count: how many rows; None: one of `part`, as of the columns.
    """
    rows, columns = parts_of(grid)
    bottom = rows[(row_count or math.ceil(len(rows) / part)) - 1][1]
    right = columns[math.ceil(len(columns) / part) - 1][1]
    return grid.crop((0, 0, min(right + 1, grid.width), min(bottom + 1, grid.height)))


def stack_rows(names: list[str], rows: dict[str, Image.Image]) -> Image.Image:
    """Rows of images below each other, each with its name on the left; one that is missing leaves its place empty."""
    width = max((row.width for row in rows.values()), default=1)
    height = max((row.height for row in rows.values()), default=1)
    stack = Image.new(common_mode(rows.values()), (LABEL + width, max(height, LINE) * len(names)), "white")
    for number, name in enumerate(names):
        if name in rows:
            y = number * max(height, LINE)
            ImageDraw.Draw(stack).text((0, y + height // 2), name.split()[-1], "black", font("DejaVuSans", 11), "lm")
            stack.paste(rows[name], (LABEL, y))
    return stack


def draw_sheet(title: str, tiles: list[Tile]) -> Image.Image:
    """The tiles in rows of at most WIDTH pixels, where one fits; all images a whole number of times as large."""
    widest = max(tile.image.width for tile in tiles)
    scale = max(1, min(MAX_SCALE, WIDTH // (TILES_A_ROW * (widest + MARGIN))))
    tiles = [
        tile._replace(
            image=tile.image.resize((tile.image.width * scale, tile.image.height * scale), Image.Resampling.NEAREST)
        )
        for tile in tiles
    ]
    step_x = widest * scale + MARGIN
    step_y = max(tile.image.height for tile in tiles) + LINE + MARGIN
    columns = max(1, min(len(tiles), (WIDTH - MARGIN) // step_x))
    top = MARGIN + (LINE if title else 0)
    size = MARGIN + columns * step_x, top + math.ceil(len(tiles) / columns) * step_y
    sheet = Image.new(common_mode(tile.image for tile in tiles), size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN // 2), title, "black", font("DejaVuSans", 12))
    for number, tile in enumerate(tiles):
        x, y = MARGIN + number % columns * step_x, top + number // columns * step_y
        draw.text((x, y), tile.title, "black", font("DejaVuSans", 11))
        sheet.paste(tile.image, (x, y + LINE))
    return sheet


def common_mode(images: Iterable[Image.Image]) -> str:
    """L where all images are gray, else RGB."""
    return "RGB" if any(image.mode == "RGB" for image in images) else "L"


def encode_within(limit: int, draw: Callable[[int], Image.Image]) -> bytes:
    """The best PNG of at most `limit` bytes, or else the smallest.

    Args:
        draw: makes the image with all samples, a half of each side of the grids, or a quarter.
    """
    content = b""
    for part in (1, 2, 4):
        image = draw(part)
        for colors in COLORS if image.mode == "RGB" else GRAYS:
            file = io.BytesIO()
            image.quantize(colors).save(file, format="png", optimize=True)
            content = file.getvalue()
            if len(content) <= limit:
                return content
    return content
