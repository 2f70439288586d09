"""From noise to images, and from images to grids and GIFs."""

import copy
import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from gan.config.errors import first_line
from gan.data.image_shape import PixelRange
from gan.models.base import Generator
from gan.noise import Noise
from gan.system import files, randomness
from gan.system.images import image_size, read_image

log = logging.getLogger(__name__)
T = TypeVar("T")
NOISE_BLOCK = 64  # vectors that are drawn at once
BATCH_NORM_BATCHES = 16  # that the statistics of an EMA are computed over
MAX_GIF_FRAMES, MAX_GIF_PIXELS = 500, 2**28  # Pillow keeps all frames in memory
MAX_GIF_DURATION = 655_350  # milliseconds of a frame: 16 bits of hundredths of a second
MAX_CLASS_COLUMNS = 100


def generate(generator: Generator, noise: Tensor, labels: Tensor | None, batch_size: int) -> Tensor:
    """Images for `noise` (n, noise_dim), of the classes `labels` (n,), as uint8 (n, C, H, W) on the CPU.

    Pixels are scaled from the generator's `pixel_range`, so that grids have the same brightness. Points are float32
    (n, d), as they are.
    """
    return to_uint8(run_generator(generator, noise, labels, batch_size), generator.pixel_range)


@torch.no_grad()
def run_generator(generator: Generator, noise: Tensor, labels: Tensor | None, batch_size: int) -> Tensor:
    """G's output float32 (n, C, H, W) or (n, d), on its device, for `noise` (n, noise_dim) of classes `labels` (n,).

    BatchNorm uses its running statistics, so that an image does not depend on the others of its batch.
    """
    was_training = generator.training
    generator.eval()
    parts = []
    for start in range(0, len(noise), batch_size):
        part = slice(start, start + batch_size)
        parts.append(generator(noise[part], None if labels is None else labels[part]).float())
    generator.train(was_training)
    return torch.cat(parts)


def to_uint8(images: Tensor, pixel_range: PixelRange) -> Tensor:
    """`images` in `pixel_range`, as uint8 on the CPU; what is outside it is clipped. Points stay as they are."""
    return quantize(images, pixel_range).cpu()


def quantize(images: Tensor, pixel_range: PixelRange) -> Tensor:
    """`to_uint8` on the device of the images."""
    if pixel_range is None:
        return images
    low, high = pixel_range
    return ((images - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8)


def own_range(images: Tensor) -> tuple[float, float]:
    """The least and the greatest pixel of `images`, as torchvision's `normalize=True` takes them."""
    low, high = images.min().item(), images.max().item()
    return low, max(high, low + 1e-5)


def draw_noise(noise: Noise, count: int, seed: int, purpose: str, start: int = 0) -> Tensor:
    """Noise vectors (count, noise_dim) on the CPU from index `start` on; each depends on the seed and its index alone.

    A single call would not do: torch draws the last numbers of a tensor in another way than those before.
    """
    first = start // NOISE_BLOCK * NOISE_BLOCK
    blocks = [
        noise.sample(NOISE_BLOCK, randomness.random_generator("cpu", seed, purpose, block))
        for block in range(first, start + count, NOISE_BLOCK)
    ]
    return torch.cat(blocks)[start - first :][:count]


@torch.no_grad()
def recompute_batch_norm(
    generator: Generator, noise: Noise, batch_size: int, device: torch.device, local_slice: slice = slice(None)
) -> Generator:
    """A copy of an EMA of G whose BatchNorm has the statistics of its own weights, and not of the latest ones.

    They are computed over 16 batches of noise, as is usual for averaged weights (Izmailov et al. 2018).
    Without BatchNorm, the network itself.

    Args:
        local_slice: the part of each batch that this process generates, as in training.
    """
    if not any(isinstance(layer, _BatchNorm) for layer in generator.modules()):
        return generator
    generator = copy.deepcopy(generator).eval()
    layers = [layer.train() for layer in generator.modules() if isinstance(layer, _BatchNorm)]
    points = draw_noise(noise, BATCH_NORM_BATCHES * batch_size, 0, "batch norm").split(batch_size)
    labels = cycle_labels(generator.class_count, batch_size, device)
    randomness.reseed(device, 0, "batch norm")
    for number, batch in enumerate(points, 1):
        for layer in layers:
            layer.momentum = 1 / number  # the mean over the batches so far
        generator(batch[local_slice].to(device), None if labels is None else labels[local_slice])
    return generator.eval()


def cycle_labels(classes: int, count: int, device: torch.device, start: int = 0) -> Tensor | None:
    """Labels int64 (count,) that cycle through the classes, from index `start` on; None without classes."""
    return torch.arange(start, start + count, device=device) % classes if classes else None


def grid_count(count: int, classes: int) -> int:
    """Number of images in a grid for which `count` were asked for: more, where that fills its last row of classes."""
    if not 0 < classes <= min(count, MAX_CLASS_COLUMNS):
        return count
    columns = classes * max(1, math.isqrt(count) // classes)
    return math.ceil(count / columns) * columns


def grid_columns(count: int, classes: int) -> int:
    """Columns of a grid of `count` images, whose labels cycle through the classes (0: it has none).

    A column for each class, or several where the grid is then almost square: each column has one class, and all rows
    are full. Almost square without classes, and with more of them than images or than MAX_CLASS_COLUMNS; then three or
    five images are one row, as two rows would have a hole.
    """
    if not 0 < classes <= min(count, MAX_CLASS_COLUMNS) or count % classes:
        return count if count in (3, 5) else math.ceil(math.sqrt(count))
    most = max(1, math.isqrt(count) // classes)
    return classes * next(columns for columns in range(most, 0, -1) if count % (classes * columns) == 0)


def image_grid(images: Tensor, columns: int) -> Image.Image:
    """A grid of images uint8 (n, C, H, W), in gray lines of one pixel; a single image as it is.

    As torchvision's `make_grid` with `padding=1`, which takes more than a second to import.
    """
    if len(images) == 1:
        return to_image(images[0])
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    grid = images.new_full((channels, rows * (height + 1) + 1, columns * (width + 1) + 1), 64)
    for number, image in enumerate(images):
        top, left = number // columns * (height + 1) + 1, number % columns * (width + 1) + 1
        grid[:, top : top + height, left : left + width] = image
    return to_image(grid)


def to_image(pixels: Tensor) -> Image.Image:
    """An image uint8 (C, H, W) on the CPU for Pillow."""
    return Image.fromarray((pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).numpy())


def write_gif(frames: Iterable[Image.Image], file: BinaryIO, fps: float) -> None:
    """Write one or more `frames` as an endless GIF. One that is shown for more than 655 seconds is cut to that."""
    period = round(1000 / fps)
    kept: list[Image.Image] = []
    durations: list[int] = []
    for frame in frames:
        frame = frame if frame.mode == "L" else frame.convert("P", palette=Image.Palette.ADAPTIVE)
        # Pillow would add up the durations of equal frames, beyond what fits into a GIF
        if kept and frame.convert("RGB").tobytes() == kept[-1].convert("RGB").tobytes():
            durations[-1] = min(durations[-1] + period, MAX_GIF_DURATION)
        else:
            kept.append(frame)
            durations.append(period)
    kept[0].save(file, format="gif", save_all=True, append_images=kept[1:], duration=durations, loop=0)


def write_samples_gif(folder: Path, fps: float) -> None:
    """Write samples.gif from the sample grids of a run.

    Grids of another size than the last are left out, since watch.samples may have changed on resume; so are, with a
    warning, files that cannot be read.
    """
    sizes = {path: read_or_warn(image_size, path) for path in files.sample_grids(folder).values()}
    last_size = next((size for size in reversed(sizes.values()) if size), None)
    paths = [path for path, size in sizes.items() if size and size == last_size]
    if not last_size or not paths:
        return
    most = max(min(MAX_GIF_FRAMES, MAX_GIF_PIXELS // math.prod(last_size)), 2)
    period = max(1, math.ceil((len(paths) - 1) / (most - 1)))
    frames = [read_or_warn(read_image, path) for path in [*paths[:-1:period], paths[-1]]]
    if readable := [frame for frame in frames if frame]:
        with files.atomic_write(folder / "samples.gif", durable=False) as file:
            write_gif(readable, file, fps)


def read_or_warn(read: Callable[[Path], T], path: Path) -> T | None:
    """What `read` returns for an image; None after a warning where it cannot be read."""
    try:
        return read(path)
    except (OSError, ValueError) as error:
        log.warning("%s was left out of samples.gif: %s", path, first_line(error))
        return None
