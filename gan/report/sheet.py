"""The contact sheet of a report, for a slide or a README: samples of the groups, with their scores."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw

from gan.cli import contact_sheet
from gan.cli.contact_sheet import ASPECT, BLACK, GAP, GRAY, MARGIN, RED, TILE, TITLE_SIZE, font, wrap
from gan.cli.sweep_results import SweepRun
from gan.report.cells import format_number
from gan.report.contents import Matrix, Report, is_headline
from gan.report.groups import Group
from gan.report.runs import RunFolder

MAX_CELLS = 200
TEXT_SIZE, LINE_SPACING, MAX_LINES = 13, 1.3, 3  # of a text: pixels, and times the size
REAL_IMAGES = 10
ROW_LABEL_WIDTH = 150
TILINGS = [(1, (10, 5)), (4, (6, 5)), (12, (5, 4)), (50, (4, 3)), (MAX_CELLS, (3, 2))]  # up to so many cells: of each
SHADE = (238, 238, 238)  # where a cell has no images


class RealImages(NamedTuple):
    """Images of a dataset, to compare with."""

    label: str
    tiles: list[Image.Image]


@dataclass(frozen=True)
class Layout:
    """What all cells share.

    Args:
        tiling: images in a cell, beside each other and below each other.
        caption: the score of a group, as text; empty without one.
        best: the group whose score is bold.
    """

    tiling: tuple[int, int]
    caption: Callable[[Group], str]
    best: Group | None

    @property
    def width(self) -> int:
        """Of a cell, in pixels."""
        return self.tiling[0] * (TILE + GAP) - GAP


def report_sheet(report: Report) -> bytes:
    """The content of sheet.png."""

    def caption(group: Group) -> str:
        columns = [column for column in group.results if is_headline(column)]
        column = report.headline if report.headline in columns else next(iter(columns), None)
        return f"{report.heading(column)} {group.results[column]}" if column else ""

    ranked, content = report.ranked(), io.BytesIO()
    best = ranked[0] if len(ranked) > 1 else None
    notes = report.footnotes() if len(report.protocols) > 1 else []
    sheet = draw_report_sheet(report.title, report.matrices(), read_real_images(report), caption, best, notes)
    sheet.save(content, format="png")
    return content.getvalue()


def draw_report_sheet(
    title: str,
    matrices: Sequence[Matrix],
    real: Sequence[RealImages] = (),
    caption: Callable[[Group], str] = lambda group: "",
    best: Group | None = None,
    notes: Sequence[str] = (),
) -> Image.Image:
    """An image of the matrices below real data: of at most MAX_CELLS groups, the first ones, as its title says.

    Args:
        caption: the score of a group, as text; empty without one.
        best: the group whose score is bold.
        notes: sentences below all.
    """
    count = sum(group is not None for matrix in matrices for row in matrix.cells for group in row)
    if count > MAX_CELLS:
        title = f"{title}: the first {MAX_CELLS} of {count}"
    tiling = next((tiling for most, tiling in TILINGS if count <= most), TILINGS[-1][1])
    layout = Layout(tiling, caption, best)
    blocks = [draw_matrix(matrix, layout) for matrix in first_cells(matrices, MAX_CELLS)]
    area = sum((block.width + MARGIN) * (block.height + MARGIN) for block in blocks)
    width = max([round(math.sqrt(ASPECT * area)), *(block.width for block in blocks)])
    rows = [
        beside([draw_text(each.label, ROW_LABEL_WIDTH), tile(each.tiles, (REAL_IMAGES, 1))], MARGIN) for each in real
    ]
    width = max([width, *(row.width for row in rows)])
    head = draw_text(title, width, size=TITLE_SIZE, bold=True)
    foot = [below([draw_text(note, width, GRAY) for note in notes], 0)] if notes else []
    content = below([head, *rows, *flow(blocks, width), *foot], MARGIN)
    sheet = Image.new("RGB", (content.width + 2 * MARGIN, content.height + 2 * MARGIN), "white")
    sheet.paste(content, (MARGIN, MARGIN))
    return sheet


def first_cells(matrices: Sequence[Matrix], most: int) -> list[Matrix]:
    """The matrices with their first cells, at most so many that were run."""
    kept, left = [], most
    for matrix in matrices:
        rows = []
        for row in matrix.cells:
            if left > 0:
                places = [number for number, group in enumerate(row) if group][left : left + 1]
                rows.append(row[: places[0]] if places else row)
                left -= sum(group is not None for group in rows[-1])
        if rows:
            kept.append(Matrix(matrix.title, matrix.row_labels[: len(rows)], matrix.column_labels, rows))
    return kept


def draw_matrix(matrix: Matrix, layout: Layout) -> Image.Image:
    """A matrix with its title: a single row without a label in several lines, many rows in parts beside each other."""
    title = [draw_text(matrix.title, layout.width * 2, bold=True)] if matrix.title else []
    if matrix.row_labels == [""]:
        pairs = zip(matrix.cells[0], matrix.column_labels, strict=False)
        named = [(group, (group.name if group else "") or label) for group, label in pairs]
        cells = [draw_cell(group, layout, label if len(named) > 1 else "") for group, label in named]
        lines = in_parts(cells, round(len(cells) / fitting_columns(cells)))
        return below([*title, *(beside(line, MARGIN) for line in lines)], MARGIN)
    labels = [draw_text(label, layout.width) for label in matrix.column_labels]
    head = beside([draw_text("", ROW_LABEL_WIDTH), *labels], MARGIN)
    rows = [
        beside([draw_text(label, ROW_LABEL_WIDTH), *(draw_cell(group, layout) for group in row)], MARGIN)
        for label, row in zip(matrix.row_labels, matrix.cells, strict=True)
    ]
    parts = in_parts(rows, fitting_columns(rows))
    return below([*title, beside([below([head, *part], MARGIN // 2) for part in parts], MARGIN)], MARGIN // 2)


def fitting_columns(images: Sequence[Image.Image]) -> int:
    """In how many columns the images make a sheet of about the usual aspect."""
    width, height = max(image.width for image in images), sum(image.height + MARGIN for image in images)
    return max(1, round(math.sqrt(ASPECT * height / (width + MARGIN))))


def in_parts(images: Sequence[Image.Image], count: int) -> list[Sequence[Image.Image]]:
    """The images in so many parts, or one, of about one length."""
    length = -(-len(images) // max(count, 1))
    return [images[start : start + length] for start in range(0, len(images), length)]


def draw_cell(group: Group | None, layout: Layout, label: str = "") -> Image.Image:
    """Samples of a group, its score below, and its state where it is not finished."""
    parts = [draw_text(label, layout.width)] if label else []
    if group is None:
        return below([*parts, draw_text("not run", layout.width, GRAY)], GAP)
    samples, problem = read_samples(group, math.prod(layout.tiling), layout.width)
    parts.append(tile(samples, layout.tiling) if samples else Image.new("RGB", (layout.width, TILE), SHADE))
    if score := layout.caption(group):
        parts.append(draw_text(score, layout.width, bold=group is layout.best))
    note = describe_state(group, problem)
    return below([*parts, *([draw_text(note, layout.width, RED)] if note else [])], 2 * GAP)


def describe_state(group: Group, problem: str) -> str:
    """The state of a group that is not finished, with the reason of its first run that has one; and the `problem`."""
    if group.state == "finished":
        return problem
    reasons = [run.status["error"] for run in group.runs if run.status["error"]]
    return ". ".join([group.state.capitalize() + (f": {reasons[0]}" if reasons else "")] + [problem] * (not reasons))


def read_samples(group: Group, count: int, width: int) -> tuple[list[Image.Image], str]:
    """The first samples of the first run that has any, a figure in that width; and why none, of the first run."""
    found = (contact_sheet.read_samples(SweepRun(run.folder, {}, run.status), count, width) for run in group.counted)
    problems = []
    for samples, problem in found:
        if samples:
            return samples, ""
        problems.append(problem)
    return [], problems[0]


def read_real_images(report: Report) -> list[RealImages]:
    """Real images of each dataset, as the first run that has them saw them, with their score."""
    datasets: dict[str, list[RunFolder]] = {}
    for run in report.runs:
        datasets.setdefault(run.setting("dataset"), []).append(run)
    rows = []
    for dataset, runs in datasets.items():
        found = (run.read(lambda path: contact_sheet.cut_grid(path, REAL_IMAGES), "samples/real.png") for run in runs)
        tiles = next((tiles for tiles in found if tiles), [])
        baselines = (pair for run in runs for pair in run.real_data.items() if is_headline(pair[0]))
        scores = [f"{column.name} {format_number(value)}" for column, value in baselines][:1]
        if tiles:
            label = " ".join(["real data", *([dataset] if len(datasets) > 1 else []), *scores])
            rows.append(RealImages(label, contact_sheet.fit_samples(tiles, contact_sheet.WIDTH // 2)))
    return rows


def draw_text(
    text: str, width: int, color: tuple[int, int, int] = BLACK, size: int = TEXT_SIZE, bold: bool = False
) -> Image.Image:
    """An image of `width` with the text in at most MAX_LINES lines."""
    of_text = font("DejaVuSans-Bold" if bold else "DejaVuSans", size, text)
    lines, height = wrap(text, of_text, max(width, 1), MAX_LINES), round(size * LINE_SPACING)
    image = Image.new("RGB", (max(width, 1), max(len(lines), 1) * height), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((0, number * height), line, color, of_text)
    return image


def tile(images: Sequence[Image.Image], tiling: tuple[int, int]) -> Image.Image:
    """The images in rows, at their sizes."""
    rows = [images[start : start + tiling[0]] for start in range(0, len(images), tiling[0])][: tiling[1]]
    return below([beside(row, GAP) for row in rows], GAP)


def beside(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """The images from left to right, their tops on a line."""
    size = sum(image.width + gap for image in images) - gap, max(image.height for image in images)
    return place(size, images, lambda image: (image.width + gap, 0))


def below(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """The images from top to bottom."""
    size = max(image.width for image in images), sum(image.height + gap for image in images) - gap
    return place(size, images, lambda image: (0, image.height + gap))


def place(
    size: tuple[int, int], images: Sequence[Image.Image], step: Callable[[Image.Image], tuple[int, int]]
) -> Image.Image:
    """A white image with others, each where the `step` of those before it leads."""
    sheet, x, y = Image.new("RGB", size, "white"), 0, 0
    for image in images:
        sheet.paste(image, (x, y))
        x, y = x + step(image)[0], y + step(image)[1]
    return sheet


def flow(images: Sequence[Image.Image], width: int) -> list[Image.Image]:
    """The images in rows of at most `width`."""
    rows: list[list[Image.Image]] = [[]]
    for image in images:
        if rows[-1] and sum(each.width + MARGIN for each in rows[-1]) + image.width > width:
            rows.append([])
        rows[-1].append(image)
    return [beside(row, MARGIN) for row in rows]
