"""Drawn digits: what a first run trains on without a download.

Each image is one of ten digits in one of fourteen typefaces, turned, sheared, scaled and shifted, bent by a
mild elastic field, and drawn with a stroke of its own weight. It is nearer to MNIST than print is, and far
from as hard.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan.system import randomness

TYPEFACES = [
    "DejaVuSans",
    "DejaVuSans-Oblique",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSansMono-Oblique",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
]
SIZE = 28
GLYPH = 64  # pixels a side of the masters that images are sampled from


def draw_digits(count: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Draw `count` digits. Returns uint8 images (count, 1, 28, 28), white on black, and labels (count,)."""
    masters = glyphs()
    stream = randomness.random_generator("cpu", seed, "digits", split)
    labels = torch.arange(count) % 10
    labels = labels[torch.randperm(count, generator=stream)]
    typefaces = torch.randint(len(TYPEFACES), (count,), generator=stream)
    images = [
        ink(masters[faces, digits], stream)
        for faces, digits in zip(typefaces.split(1000), labels.split(1000), strict=True)
    ]
    return torch.cat(images), labels


def glyphs() -> Tensor:
    """Every digit in every typeface, blurred so that a threshold sets the stroke's weight.

    Returns (typefaces, 10, 1, GLYPH, GLYPH) in [0, 1].
    """
    import matplotlib  # only for its fonts, and only when digits are drawn

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    masters = torch.empty(len(TYPEFACES), 10, 1, GLYPH, GLYPH)
    for i, typeface in enumerate(TYPEFACES):
        font = ImageFont.truetype(str(folder / f"{typeface}.ttf"), size=GLYPH * 9 // 10)
        for digit in range(10):
            image = Image.new("L", (GLYPH, GLYPH))
            middle = (GLYPH / 2, GLYPH / 2)
            left, top, right, bottom = ImageDraw.Draw(image).textbbox(middle, str(digit), font=font)
            corner = (GLYPH - (left + right) / 2, GLYPH - (top + bottom) / 2)
            ImageDraw.Draw(image).text(corner, str(digit), font=font, fill=255)
            masters[i, digit, 0] = torch.from_numpy(np.array(image))
    taps = torch.arange(-4.0, 5.0)
    bell = torch.exp(-(taps**2) / (2 * 1.6**2))
    bell = (bell / bell.sum()).view(1, 1, -1, 1)
    flat = masters.view(-1, 1, GLYPH, GLYPH) / 255
    flat = F.conv2d(F.conv2d(flat, bell, padding=(4, 0)), bell.transpose(2, 3), padding=(0, 4))
    return flat.view_as(masters)


def ink(masters: Tensor, stream: torch.Generator) -> Tensor:
    """Bend each master (n, 1, GLYPH, GLYPH) its own way and draw it. Returns uint8 (n, 1, 28, 28)."""
    count = len(masters)

    def within(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=stream)

    angle, shear, scale = within(-0.2, 0.2), within(-0.3, 0.3), within(0.9, 1.2)
    shift = within(-0.14, 0.14, 2)  # of a grid that spans -1 to 1: 7 % of the side
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [
        torch.stack([cos, -sin + shear * cos, shift[:, 0]], dim=1),
        torch.stack([sin, cos + shear * sin, shift[:, 1]], dim=1),
    ]
    fine = 2 * SIZE  # drawn at twice the size, then averaged, so that edges are smooth
    where = F.affine_grid(torch.stack(rows, dim=1), [count, 1, fine, fine], align_corners=False)
    bends = 0.05 * torch.randn(count, 2, 5, 5, generator=stream)
    bends = F.interpolate(bends, size=(fine, fine), mode="bicubic", align_corners=True)
    drawn = F.grid_sample(masters, where + bends.permute(0, 2, 3, 1), align_corners=False)
    threshold = within(0.18, 0.42, 1, 1, 1)
    drawn = ((drawn - threshold) * 6 + 0.5).clamp(0, 1)
    return (F.avg_pool2d(drawn, 2) * 255).round().to(torch.uint8)
