"""Drawn digits: the default dataset, which needs no download.

Each image is one of ten digits in one of fourteen typefaces, rotated, sheared, scaled, shifted, warped by a mild
elastic deformation, and drawn with a random stroke weight. The set is easier than MNIST, and closer to it than to
printed digits.
"""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gan.system.cache import from_cache, remove_stale
from gan.system.randomness import random_generator
from gan.system.tensor_files import load_tensors

log = logging.getLogger(__name__)
TYPEFACES = [  # matplotlib's
    *("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmss10", "cmti10", "cmtt10"),
]
SIZE = 28  # side in pixels
GLYPH_SIZE = 64  # side in pixels of the printed digits that images are drawn from


def load_digits(count: int, split: str, cache_dir: Path) -> tuple[Tensor, Tensor]:
    """`draw_digits` with seed 0, from a file in `cache_dir` whose name ends in a hash of this module's source."""
    version = hashlib.md5(Path(__file__).read_bytes()).hexdigest()[:8]
    path = cache_dir / f"digits-{split}-{count}-{version}.pt"

    def read(path: Path) -> tuple[Tensor, Tensor]:
        images, labels = load_tensors(path)
        if (images.shape, images.dtype) != ((count, 1, SIZE, SIZE), torch.uint8):
            raise ValueError(f"images of shape {tuple(images.shape)} and {images.dtype}")
        if (labels.shape, labels.dtype) != ((count,), torch.int64) or not 0 <= labels.min() <= labels.max() <= 9:
            raise ValueError(f"labels of shape {tuple(labels.shape)} and {labels.dtype}")
        return images, labels

    def make() -> tuple[Tensor, Tensor]:
        remove_stale(cache_dir, "digits-*", f"digits-*-{version}.pt")
        return draw_digits(count, seed=0, split=split)

    return from_cache(path, read, make, torch.save)


def draw_digits(count: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
    """Draw `count` digits. Returns uint8 images (count, 1, 28, 28), white on black, and labels (count,)."""
    glyphs = render_glyphs()
    log.info("drawing %s digits, once for all runs", f"{count:,}")
    generator = random_generator("cpu", seed, "digits", split)
    labels = torch.arange(count) % 10
    labels = labels[torch.randperm(count, generator=generator)]
    typefaces = torch.randint(len(TYPEFACES), (count,), generator=generator)
    batches = zip(typefaces.split(1000), labels.split(1000), strict=True)
    return torch.cat([distort(glyphs[faces, digits], generator) for faces, digits in batches]), labels


def render_glyphs() -> Tensor:
    """Every digit in every typeface, blurred so that a threshold sets the stroke weight.

    Returns (typefaces, 10, 1, GLYPH_SIZE, GLYPH_SIZE) in [0, 1].
    """
    import matplotlib  # for its fonts, and only where digits are drawn

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    glyphs = torch.empty(len(TYPEFACES), 10, 1, GLYPH_SIZE, GLYPH_SIZE)
    for i, typeface in enumerate(TYPEFACES):
        font = ImageFont.truetype(str(folder / f"{typeface}.ttf"), size=GLYPH_SIZE * 9 // 10)
        for digit in range(10):
            image = Image.new("L", (GLYPH_SIZE, GLYPH_SIZE))
            center = (GLYPH_SIZE / 2, GLYPH_SIZE / 2)
            left, top, right, bottom = ImageDraw.Draw(image).textbbox(center, str(digit), font=font)
            corner = (GLYPH_SIZE - (left + right) / 2, GLYPH_SIZE - (top + bottom) / 2)
            ImageDraw.Draw(image).text(corner, str(digit), font=font, fill=255)
            glyphs[i, digit, 0] = torch.from_numpy(np.array(image))
    kernel = torch.exp(-(torch.arange(-4.0, 5.0) ** 2) / (2 * 1.6**2))  # a Gaussian
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    flat = glyphs.view(-1, 1, GLYPH_SIZE, GLYPH_SIZE) / 255
    flat = F.conv2d(F.conv2d(flat, kernel, padding=(4, 0)), kernel.transpose(2, 3), padding=(0, 4))
    return flat.view_as(glyphs)


def distort(glyphs: Tensor, generator: torch.Generator) -> Tensor:
    """Distort each of `glyphs` (B, 1, GLYPH_SIZE, GLYPH_SIZE) at random. Returns uint8 (B, 1, 28, 28)."""
    count = len(glyphs)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    angle, shear, scale = uniform(-0.2, 0.2), uniform(-0.3, 0.3), uniform(0.9, 1.2)
    shift = uniform(-0.14, 0.14, 2)  # in grid units, from -1 to 1: up to 7 % of the side
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [
        torch.stack([cos, -sin + shear * cos, shift[:, 0]], dim=1),
        torch.stack([sin, cos + shear * sin, shift[:, 1]], dim=1),
    ]
    side = 2 * SIZE  # drawn at twice the size and then averaged, for smooth edges
    grid = F.affine_grid(torch.stack(rows, dim=1), [count, 1, side, side], align_corners=False)
    offsets = 0.05 * torch.randn(count, 2, 5, 5, generator=generator)
    offsets = F.interpolate(offsets, size=(side, side), mode="bicubic", align_corners=True)
    images = F.grid_sample(glyphs, grid + offsets.permute(0, 2, 3, 1), align_corners=False)
    threshold = uniform(0.18, 0.42, 1, 1, 1)
    images = ((images - threshold) * 6 + 0.5).clamp(0, 1)
    return (F.avg_pool2d(images, 2) * 255).round().to(torch.uint8)
