"""From noise to images, and from images to grids and GIFs."""

import copy
import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from gan.config.errors import ConfigError, first_line
from gan.config.schema import Sampling
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
SUFFIXES = {"grid": ".png", "png": "", "npz": ".npz", "interpolation": ".gif"}


@torch.no_grad()
def generate(generator: Generator, noise: Tensor, labels: Tensor | None, batch_size: int) -> Tensor:
    """Images for `noise` (n, noise_dim), of the classes `labels` (n,), as uint8 (n, C, H, W) on the CPU.

    Pixels are scaled from the generator's `pixel_range`, so that grids have the same brightness. BatchNorm uses its
    running statistics, so that an image does not depend on the others of its batch.
    """
    was_training = generator.training
    generator.eval()
    low, high = generator.pixel_range
    parts = []
    for start in range(0, len(noise), batch_size):
        part = slice(start, start + batch_size)
        images = generator(noise[part], None if labels is None else labels[part]).float()
        parts.append(((images - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8).cpu())
    generator.train(was_training)
    return torch.cat(parts)


def draw_noise(noise: Noise, count: int, seed: int, purpose: str) -> Tensor:
    """Noise vectors (count, noise_dim) on the CPU, each of which depends on the seed and its index alone.

    A single call would not do: torch draws the last numbers of a tensor in another way than those before.
    """
    blocks = [
        noise.sample(NOISE_BLOCK, randomness.random_generator("cpu", seed, purpose, start))
        for start in range(0, count, NOISE_BLOCK)
    ]
    return torch.cat(blocks)[:count]


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


def cycle_labels(classes: int, count: int, device: torch.device) -> Tensor | None:
    """Labels int64 (count,) that cycle through the classes; None without classes."""
    return torch.arange(count, device=device) % classes if classes else None


def image_grid(images: Tensor, classes: int = 0) -> Image.Image:
    """A grid of images uint8 (n, C, H, W): one column per class if their labels cycle, else almost square."""
    columns = classes if 0 < classes <= len(images) else math.ceil(math.sqrt(len(images)))
    channels = images.shape[1]  # make_grid repeats a single one
    return to_pil_image(make_grid(images, nrow=columns, padding=1, pad_value=64)[:channels])


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


def write_samples(generator: Generator, noise: Noise, request: Sampling, device: torch.device) -> Path:
    """Generate the images that sample.py was called for, and write them. Returns the file or folder."""
    out, suffix = output_path(request), SUFFIXES[request.format]
    if suffix and out.suffix not in ("", suffix):
        raise ConfigError(f"out={out}: must end in {suffix} for format={request.format}.")
    if request.format == "interpolation" and request.n < 2:
        raise ConfigError(f"n={request.n}: must be >= 2 for format=interpolation.")
    # Whole batches, so that the first images are the same, to the bit, however many are asked for.
    count = (
        request.n
        if request.format == "interpolation"
        else math.ceil(request.n / request.batch_size) * request.batch_size
    )
    points = draw_noise(noise, count, request.seed, "sample")
    labels = sample_labels(generator, request, count, device)
    if request.format == "interpolation":
        points = noise.interpolate(points, request.frames)
        labels = None if labels is None else labels.repeat_interleave(request.frames)
    randomness.reseed(device, request.seed, "drawing")  # a generator may have noise or dropout of its own
    images = generate(generator, points.to(device), labels, request.batch_size)
    images = images if request.format == "interpolation" else images[: request.n]
    if request.format == "png":
        out.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(images):
            to_pil_image(image).save(out / f"{index:05d}.png")
        return out
    with files.atomic_write(out) as file:
        if request.format == "grid":
            image_grid(images, generator.class_count if request.class_ is None else 0).save(file, format="png")
        elif request.format == "npz":
            np.savez(file, images=images.permute(0, 2, 3, 1).numpy())
        else:
            write_gif([to_pil_image(image) for image in images], file, request.fps)
    return out


def output_path(request: Sampling) -> Path:
    """`out`, or a name in the folder of the run that says how the images were generated."""
    if request.out:
        return Path(request.out)
    checkpoint = "" if request.checkpoint == "last" else f"_{request.checkpoint}"
    ema, label = "" if request.ema else "_no-ema", "" if request.class_ is None else f"_class{request.class_}"
    name = f"{request.format}{checkpoint}{ema}{label}_seed{request.seed}_n{request.n}{SUFFIXES[request.format]}"
    return Path(request.run) / "generated" / name


def sample_labels(generator: Generator, request: Sampling, count: int, device: torch.device) -> Tensor | None:
    """Labels int64 (count,): the class of `class=`, or all classes in turn."""
    if request.class_ is None:
        return cycle_labels(generator.class_count, count, device)
    if not generator.class_count:
        raise ConfigError(f"class={request.class_}: this run is unconditional; trick=[conditional] has classes.")
    if request.class_ >= generator.class_count:
        raise ConfigError(f"class={request.class_}: must be from 0 to {generator.class_count - 1}.")
    return torch.full((count,), request.class_, device=device)
