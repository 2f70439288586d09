"""A contact sheet of a dataset: one image with some of its images, by class."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan.data.summary import SHOWN_IMAGES, DataSummary, class_label
from gan.system.fonts import font_for

TILE, GAP, MARGIN = 64, 2, 16  # pixels: side of an image, between images, around them
LINE_HEIGHT, FONT_SIZE = 20, 13  # of a caption


def draw_contact_sheet(images: Tensor, summary: DataSummary) -> Image.Image:
    """The examples that a summary names, of `images` uint8 (N, C, H, W): a row for each class, below its name.

    Without classes all rows are full.
    """
    rows: list[tuple[str, Sequence[int]]]
    if summary.class_counts:
        rows = [
            (f"{class_label(summary, number)}   {summary.class_counts[number]:,}", indices)
            for number, indices in enumerate(summary.examples)
        ]
    else:
        (shown,) = summary.examples
        rows = [("", shown[start : start + SHOWN_IMAGES]) for start in range(0, len(shown), SHOWN_IMAGES)]
    hidden = len(summary.class_counts) - len(rows)
    last = [(f"... and {hidden:,} more classes", ())] if summary.class_counts and hidden > 0 else []
    tile = max(1, round(TILE / images.shape[-1])) * images.shape[-1] if images.shape[-1] <= TILE else TILE
    heights = [(LINE_HEIGHT if caption else 0) + (tile + GAP if indices else 0) for caption, indices in [*rows, *last]]
    width = 2 * MARGIN + SHOWN_IMAGES * (tile + GAP) - GAP
    sheet = Image.new("L" if summary.shape[0] == 1 else "RGB", (width, 2 * MARGIN + sum(heights)), "white")
    y = MARGIN
    for (caption, indices), height in zip([*rows, *last], heights, strict=True):
        if caption:
            draw_caption(sheet, y, caption)
        top = y + (LINE_HEIGHT if caption else 0)
        for number, index in enumerate(indices):
            sheet.paste(draw_tile(images[index], tile), (MARGIN + number * (tile + GAP), top))
        y += height
    return sheet


def draw_caption(sheet: Image.Image, y: int, caption: str) -> None:
    """Write a line of text, in a font that has its characters."""
    font = ImageFont.truetype(str(font_for(caption, "DejaVuSans")), FONT_SIZE)
    ImageDraw.Draw(sheet).text((MARGIN, y), caption, "black", font)


def draw_tile(image: Tensor, side: int) -> Image.Image:
    """An image uint8 (C, H, W) with another side: a small one a whole number of times as large, to show its pixels."""
    array = image.cpu().permute(1, 2, 0).numpy()
    opened = Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array)).convert("RGB")
    resampling = Image.Resampling.LANCZOS if side < image.shape[-1] else Image.Resampling.NEAREST
    return opened.resize((side, side), resampling)
