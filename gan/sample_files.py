"""What sample.py writes: grids, folders of PNGs, arrays and interpolations."""

import copy
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from tqdm import tqdm

from gan import sampling
from gan.config.errors import ConfigError
from gan.config.schema import Sampling
from gan.data.image_shape import ImageShape
from gan.models.base import Generator
from gan.noise import Noise
from gan.system import files, randomness
from gan.system.images import MAX_PIXELS

MAX_FRAMES = 20_000  # of an interpolation: Pillow keeps all frames of a GIF in memory
PNG_NAME = re.compile(r"\d{5,}\.png")  # in a folder of format=png


def write_samples(
    generator: Generator, noise: Noise, image: ImageShape, request: Sampling, device: torch.device
) -> int:
    """Generate the images that sample.py was called for, and write them to `out`. Returns their number.

    A grid and a GIF are held in memory, and have a limit; the other formats are written batch by batch.

    Raises ConfigError for more than fits into the format, and for a class that there is not.
    """
    classes = check_class(generator, request)
    out, count = Path(str(request.out)), request.n
    if request.format == "interpolation":
        check_interpolation(out, image, request)
        count = request.n * request.frames
        batches = show_progress(interpolate(generator, noise, request, device), count)
        with files.atomic_write(out) as file:
            write_interpolation(batches, request, file)
        return count
    if request.format == "grid":
        count = sampling.grid_count(count, classes)
        check_grid(image, count, request)
    batches = show_progress(generate_batches(generator, noise, count, request, device), count)
    if request.format == "png":
        write_pngs(batches, out, count)
        return count
    with files.atomic_write(out) as file:
        if request.format == "npz":
            write_npz(batches, (count, image.size, image.size, image.channels), file)
        else:
            grid = sampling.image_grid(torch.cat(list(batches)), sampling.grid_columns(count, classes))
            grid.save(file, format="png")
    return count


def check_class(generator: Generator, request: Sampling) -> int:
    """Number of classes that the labels cycle through; 0 with `class=`, or without any. Raises ConfigError."""
    if request.class_ is None:
        return generator.class_count
    if not generator.class_count:
        raise ConfigError(f"class={request.class_}: this run is unconditional; trick=[conditional] has classes.")
    if request.class_ >= generator.class_count:
        raise ConfigError(f"class={request.class_}: must be from 0 to {generator.class_count - 1}.")
    return 0


def check_grid(image: ImageShape, count: int, request: Sampling) -> None:
    """Raise ConfigError for a grid with too many pixels to be opened again."""
    most = MAX_PIXELS // (image.size + 1) ** 2
    if count > most:
        raise ConfigError(
            f"n={request.n}: a grid has at most {most} images of {image.size}x{image.size}; format=png or format=npz "
            "take more."
        )


def check_interpolation(out: Path, image: ImageShape, request: Sampling) -> None:
    """Raise ConfigError for less than two images, and for more than fit into the file."""
    if request.n < 2:
        raise ConfigError(f"n={request.n}: must be >= 2 for format=interpolation.")
    pixels = image.size**2
    frames = min(MAX_FRAMES, sampling.MAX_GIF_PIXELS // pixels)
    if out.suffix.lower() == ".png":
        frames = MAX_PIXELS // (image.size + 1) ** 2
    if request.n * request.frames > frames:
        raise ConfigError(
            f"n={request.n}: must be <= {frames // request.frames} for format=interpolation with "
            f"frames={request.frames} and images of {image.size}x{image.size}."
        )


def show_progress(batches: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The batches, with a progress bar on a terminal."""
    with tqdm(total=count, unit="image", disable=None, leave=False, dynamic_ncols=True) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


def generate_batches(
    generator: Generator, noise: Noise, count: int, request: Sampling, device: torch.device
) -> Iterator[Tensor]:
    """`count` images uint8, in batches (B, C, H, W).

    Whole batches are generated, so that the first images are the same, to the bit, however many are asked for.
    """
    randomness.reseed(device, request.seed, "drawing")  # a generator may have noise or dropout of its own
    size = request.batch_size
    for start in range(0, count, size):
        points = sampling.draw_noise(noise, size, request.seed, "sample", start)
        labels = make_labels(generator, request, start, size, device)
        yield sampling.generate(generator, points.to(device), labels, size)[: count - start]


def make_labels(generator: Generator, request: Sampling, start: int, count: int, device: torch.device) -> Tensor | None:
    """Labels int64 (count,) of the images from index `start` on: the class of `class=`, or all classes in turn."""
    if request.class_ is not None:
        return torch.full((count,), request.class_, device=device)
    return sampling.cycle_labels(generator.class_count, count, device, start)


def interpolate(generator: Generator, noise: Noise, request: Sampling, device: torch.device) -> Iterator[Tensor]:
    """Images uint8 on a closed path through `n` of them, in batches (B, C, H, W). Classes blend as the noise does."""
    points = noise.interpolate(sampling.draw_noise(noise, request.n, request.seed, "sample"), request.frames)
    labels = make_labels(generator, request, 0, request.n, device)
    if labels is not None:
        generator, labels = blend_classes(generator, labels, request.frames)
    randomness.reseed(device, request.seed, "drawing")
    for start in range(0, len(points), request.batch_size):
        part = slice(start, start + request.batch_size)
        batch_labels = None if labels is None else labels[part]
        yield sampling.generate(generator, points[part].to(device), batch_labels, request.batch_size)


def blend_classes(generator: Generator, labels: Tensor, frames: int) -> tuple[Generator, Tensor]:
    """A copy of a conditional generator with a class for each frame, and the labels of these classes.

    Their embeddings lie on straight lines from each of `labels` to the next, and from the last to the first.
    """
    generator = copy.deepcopy(generator)
    assert generator.label_embedding is not None
    ends = generator.label_embedding.weight.detach()[labels]
    fractions = torch.linspace(0, 1, frames + 1, device=ends.device)[:-1].view(1, -1, 1)
    path = torch.lerp(ends[:, None], ends.roll(-1, dims=0)[:, None], fractions).flatten(0, 1)
    generator.label_embedding = torch.nn.Embedding.from_pretrained(path)
    return generator, torch.arange(len(path), device=ends.device)


def write_interpolation(batches: Iterator[Tensor], request: Sampling, file: BinaryIO) -> None:
    """A GIF, or a PNG with a row for each of the `n` images, from which the next row's image is reached."""
    if str(request.out).lower().endswith(".png"):
        sampling.image_grid(torch.cat(list(batches)), request.frames).save(file, format="png")
    else:
        sampling.write_gif((to_pil_image(image) for batch in batches for image in batch), file, request.fps)


def write_pngs(batches: Iterator[Tensor], folder: Path, count: int) -> None:
    """One PNG per image in `folder`. Raises ConfigError where it would still have images of another set."""
    digits = max(5, len(str(count - 1)))
    names = [f"{index:0{digits}d}.png" for index in range(count)]
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"out={folder}: is a file; format=png writes a folder with one PNG per image.")
    others = {path.name for path in folder.glob("*.png") if PNG_NAME.fullmatch(path.name)}.difference(names)
    if others:
        raise ConfigError(
            f"out={folder}: has {len(others)} images that these {count} would not replace, such as {min(others)}; "
            "remove them, or choose another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, (image for batch in batches for image in batch), strict=True):
        to_pil_image(image).save(folder / name)


def write_npz(batches: Iterator[Tensor], shape: tuple[int, int, int, int], file: BinaryIO) -> None:
    """`images` uint8 (n, H, W, C) as np.savez writes it, without holding more than a batch in memory."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with zipfile.ZipFile(file, "w") as archive, archive.open("images.npy", "w", force_zip64=True) as array:
        np.lib.format.write_array_header_1_0(array, header)
        for batch in batches:
            array.write(batch.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
