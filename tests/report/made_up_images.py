"""Images for made-up runs: real ones, and what a generator makes of them while it learns."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from gan.system import files

BANK = 400  # different images of each kind
MARGIN = 64  # gray value between the images of a grid


@functools.cache
def real_images(size: int, channels: int) -> np.ndarray:
    """Images float32 (BANK, size, size, channels) from 0 to 1: digits of ten classes in turn, or in color shapes."""
    rng = np.random.default_rng([size, channels])
    draw = draw_digit if channels == 1 else draw_shape
    images = [np.asarray(draw(number % 10, size, rng), np.float32) / 255 for number in range(BANK)]
    return np.stack(images).reshape(BANK, size, size, channels)


def draw_digit(digit: int, size: int, rng: np.random.Generator) -> Image.Image:
    """A white digit on black, turned, sheared and shifted a little."""
    image = Image.new("L", (4 * size, 4 * size))
    font, center = ImageFont.load_default(3 * size), (2 * size, 2 * size)
    ImageDraw.Draw(image).text(center, str(digit), 255, font, "mm", stroke_width=int(rng.integers(1, 7)))
    image = image.rotate(rng.normal(0, 9), Image.Resampling.BILINEAR)
    shear, shift = rng.normal(0, 0.12), rng.normal(0, 3, 2)
    matrix = (1, shear, shift[0] - shear * 2 * size, 0, rng.normal(1, 0.06), shift[1])
    image = image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return image.resize((size, size), Image.Resampling.BOX)


def draw_shape(kind: int, size: int, rng: np.random.Generator) -> Image.Image:
    """A shape in color on a background of another color that becomes darker downwards."""
    background = rng.integers(60, 256, 3) * np.linspace(1.0, 0.6, size)[:, None]
    image = Image.fromarray(np.repeat(background[:, None], size, 1).astype(np.uint8))
    left, top, width, height = rng.integers(size // 8, size // 3, 4)
    box, color = (left, top, size - width, size - height), tuple(map(int, rng.integers(0, 256, 3)))
    draw = ImageDraw.Draw(image)
    if kind % 3 == 0:
        draw.ellipse(box, color)
    elif kind % 3 == 1:
        draw.rectangle(box, color)
    else:
        draw.polygon([(left, size - height), (size - width, size - height), (size // 2, top)], color)
    return image.filter(ImageFilter.GaussianBlur(0.7))


@functools.cache
def smooth_noise(size: int, channels: int) -> np.ndarray:
    """Noise float32 (BANK, size, size, channels) from 0 to 1, in blots of about four pixels."""
    noise = np.random.default_rng([size, channels, 1]).random((BANK, size // 4, size // 4, channels), np.float32)
    noise = noise.repeat(4, 1).repeat(4, 2)
    for axis in (1, 2):
        noise = sum(np.roll(noise, shift, axis) for shift in (-2, -1, 0, 1, 2)) / 5
    return np.clip(2.5 * (noise - 0.5) + 0.5, 0, 1)


def generated_images(size: int, channels: int, count: int, *, quality: float, collapsed: bool, seed: int) -> np.ndarray:
    """Images uint8 (count, size, size, channels) as from fixed noise: the same `seed` makes the same ones, but better.

    Args:
        quality: 0 is noise, 1 is like the real images.
        collapsed: whether they are all nearly the same.
    """
    rng = np.random.default_rng(seed)
    wanted, blots = rng.integers(0, BANK, (2, count))
    wanted = np.where(collapsed, wanted[0] + 10 * rng.integers(0, 2, count), wanted) % BANK
    real, noise = real_images(size, channels)[wanted], smooth_noise(size, channels)[blots]
    share = 0.15 + 0.85 * quality
    mixed = share * real + (1 - share) * noise
    if channels == 1:  # strokes with clear edges on black
        mixed = 1 / (1 + np.exp(-(4 + 8 * quality) * (mixed - 0.45)))
        mixed += rng.normal(0, 0.12 - 0.1 * quality, mixed.shape) * (mixed > 0.08)
    else:
        mixed += rng.normal(0, 0.1 - 0.08 * quality, mixed.shape)
    return (255 * np.clip(mixed, 0, 1)).astype(np.uint8)


def image_grid(images: np.ndarray, columns: int) -> Image.Image:
    """A grid of images (n, H, W, C), as `gan.sampling.image_grid` makes it."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), MARGIN, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + 1) + 1, number % columns * (width + 1) + 1
        grid[top : top + height, left : left + width] = image
    return Image.fromarray(grid.squeeze())


def save_png(image: Image.Image, path: Path) -> None:
    with files.atomic_write(path, durable=False) as file:
        image.save(file, format="png")
