"""What sample.py writes: grids, folders of PNGs, arrays and interpolations."""

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gan import code_grid, interpolation, sampling
from gan.config.errors import ConfigError, printable
from gan.config.schema import Sampling
from gan.data.image_shape import DataShape, ImageShape, PointShape
from gan.models.base import Generator
from gan.noise import Noise
from gan.system import files, randomness
from gan.system.escape import file_name
from gan.system.images import MAX_PIXELS

SHOWN_CLASSES = 20  # in a message
MAX_DIGITS = 10  # of the number of a class
PNG_NAME = re.compile(r"\d{5,}\.png")  # in a folder of format=png


def write_samples(
    generator: Generator,
    noise: Noise,
    image: DataShape,
    request: Sampling,
    device: torch.device,
    draw_points: Callable[..., None],
) -> int:
    """Generate the images that sample.py was called for, and write them to `out`. Returns their number.

    A grid and a GIF are held in memory, and have a limit; the other formats are written batch by batch.

    In a conditional run an array has the labels beside it, and a folder of PNGs has a folder for each class.

    Args:
        draw_points: draws a figure of points, as `gan.training.point_figures` does.

    Raises ConfigError for more than fits into the format, for a class that there is not, and for a truncation of noise
    that has none.
    """
    check_truncation(noise, request)
    chosen = find_class(generator, image.class_names, request.class_)
    request = request.model_copy(update={"class_": chosen})
    classes = generator.class_count if chosen is None else 0
    out, count = Path(str(request.out)), request.n
    if isinstance(image, PointShape):
        write_points(generator, noise, request, device, draw_points)
        return count
    if request.format in ("gif", "interpolation"):
        interpolation.check_interpolation(out, image, request)
        count = request.n * request.frames
        batches = show_progress(interpolate_samples(generator, noise, request, device), count)
        with files.atomic_write(out) as file:
            interpolation.write_interpolation(batches, request, file)
        return count
    if request.format == "codes":
        points, columns = code_grid.vary_codes(draw_noise(noise, request, code_grid.rows(request.n)), generator.codes)
        check_grid(image, len(points), request)
        code_grid.write(generator, points.to(device), columns, request, out)
        return len(points)
    if request.format == "grid":
        count = sampling.grid_count(count, classes)
        check_grid(image, count, request)
    batches = show_progress(generate_batches(generator, noise, count, request, device), count)
    labels = make_labels(generator, request, 0, count, torch.device("cpu"))
    if request.format == "png":
        write_pngs(batches, out, class_folders(labels, image.class_names) if labels is not None else [""] * count)
        return count
    with files.atomic_write(out) as file:
        if request.format == "npz":
            write_npz(batches, (count, image.size, image.size, image.channels), file, labels, image.class_names)
        else:
            grid = sampling.image_grid(torch.cat(list(batches)), sampling.grid_columns(count, classes))
            grid.save(file, format="png")
    return count


def write_points(
    generator: Generator, noise: Noise, request: Sampling, device: torch.device, draw_points: Callable[..., None]
) -> None:
    """Points as a figure, or as the array `points` float32 (n, d) of an npz, with their `labels` if they have any.

    Raises ConfigError for a format of images.
    """
    out, count = Path(str(request.out)), request.n
    if request.format not in ("grid", "npz"):
        raise ConfigError(f"format={request.format}: this run generates points: must be grid, a figure, or npz.")
    made = torch.cat(list(show_progress(generate_batches(generator, noise, count, request, device), count))).numpy()
    if request.format == "grid":
        draw_points(out, made[:0], made, draw_noise(noise, request, count).numpy(), None, None, f"{count:,} points")
        return
    arrays = {"points": made}
    if (labels := make_labels(generator, request, 0, count, torch.device("cpu"))) is not None:
        arrays["labels"] = labels.numpy()
    with files.atomic_write(out) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def check_truncation(noise: Noise, request: Sampling) -> None:
    """Raise ConfigError for a truncation of noise that has none."""
    if noise.kind == "sphere" and request.truncation != 1:
        raise ConfigError(f"truncation={request.truncation:g}: must be 1 with noise.kind=sphere, whose norm is fixed.")


def find_class(generator: Generator, names: Sequence[str], typed: int | str | None) -> int | None:
    """The index of the class that a user names; None for all of them. Raises ConfigError where there is none.

    A name comes before a number: of the classes 5, 6 and 7, `class=5` is the first. So where names are numbers, no
    other number stands for a class.
    """
    text, count = str(typed), generator.class_count
    if typed is None:
        return None
    if not count:
        raise ConfigError(f"class={text}: this run is unconditional; trick=[conditional] has classes.")
    if text in names:
        return names.index(text)
    if text.isdecimal() and len(text) < MAX_DIGITS and int(text) < count and not any(map(str.isdecimal, names)):
        return int(text)
    more = f" and {count - SHOWN_CLASSES} more" if count > SHOWN_CLASSES else ""
    allowed = [f"one of {', '.join(names[:SHOWN_CLASSES])}{more}"] if names else []
    allowed += [] if any(map(str.isdecimal, names)) else [f"from 0 to {count - 1}"]
    raise ConfigError(f"class={printable(text)}: must be {', or '.join(allowed)}.")


def check_grid(image: ImageShape, count: int, request: Sampling) -> None:
    """Raise ConfigError for a grid with too many pixels to be opened again."""
    most = MAX_PIXELS // (image.size + 1) ** 2
    if count > most:
        raise ConfigError(
            f"n={request.n}: a grid has at most {most} images of {image.size}x{image.size}; format=png or format=npz "
            "take more."
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
    """`count` images uint8 (B, C, H, W), or points float32 (B, d), in batches.

    Whole batches are generated, so that the first images are the same, to the bit, however many are asked for.
    """
    randomness.reseed(device, request.seed, "drawing")  # a generator may have noise or dropout of its own
    size = request.batch_size
    for start in range(0, count, size):
        points = draw_noise(noise, request, size, start)
        labels = make_labels(generator, request, start, size, device)
        yield sampling.generate(generator, points.to(device), labels, size)[: count - start]


def draw_noise(noise: Noise, request: Sampling, count: int, start: int = 0) -> Tensor:
    """Noise vectors (count, noise_dim) from index `start` on, moved towards their mean, 0, by the truncation.

    StyleGAN scales its latents so (Karras et al. 2019, appendix B); BigGAN draws those beyond a limit again (Brock et
    al. 2019, section 3.1).
    """
    return request.truncation * sampling.draw_noise(noise, count, request.seed, "sample", start)


def make_labels(generator: Generator, request: Sampling, start: int, count: int, device: torch.device) -> Tensor | None:
    """Labels int64 (count,) of the images from index `start` on: the index in `class_`, or all classes in turn."""
    if request.class_ is not None:
        return torch.full((count,), int(request.class_), device=device)
    return sampling.cycle_labels(generator.class_count, count, device, start)


def interpolate_samples(
    generator: Generator, noise: Noise, request: Sampling, device: torch.device
) -> Iterator[Tensor]:
    """Images uint8 on a closed path through `n` of them, in batches (B, C, H, W)."""
    ends = draw_noise(noise, request, request.n)
    labels = make_labels(generator, request, 0, request.n, device)
    if generator.clusters is not None:
        ends, labels = generator.clusters(ends.to(device))
    return interpolation.interpolate(generator, noise, ends, labels, request, device)


def class_folders(labels: Tensor, names: Sequence[str]) -> list[str]:
    """For each image the name of its class's folder: the class's name, or its number where it has none."""
    folders = [file_name(name) for name in names] or [str(index) for index in range(int(labels.max()) + 1)]
    known = Counter(folder.lower() for folder in folders)  # some file systems ignore case
    unique = [folder if known[folder.lower()] == 1 else f"{index}_{folder}" for index, folder in enumerate(folders)]
    return [unique[label] for label in labels.tolist()]


def write_pngs(batches: Iterator[Tensor], folder: Path, subfolders: Sequence[str]) -> None:
    """One PNG per image in its subfolder of `folder`. Raises ConfigError where that has images of another set."""
    count = len(subfolders)
    digits = max(5, len(str(count - 1)))
    names = [str(Path(subfolder, f"{index:0{digits}d}.png")) for index, subfolder in enumerate(subfolders)]
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"out={folder}: is a file; format=png writes a folder with one PNG per image.")
    found = (path for pattern in ("*.png", "*/*.png") for path in folder.glob(pattern) if PNG_NAME.fullmatch(path.name))
    others = {str(path.relative_to(folder)) for path in found}.difference(names)
    if others:
        raise ConfigError(
            f"out={folder}: has {len(others)} images that these {count} would not replace, such as {min(others)}; "
            "remove them, or choose another folder."
        )
    for subfolder in {*subfolders}:
        (folder / subfolder).mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, (image for batch in batches for image in batch), strict=True):
        sampling.to_image(image).save(folder / name)


def write_npz(
    batches: Iterator[Tensor],
    shape: tuple[int, int, int, int],
    file: BinaryIO,
    labels: Tensor | None = None,
    class_names: Sequence[str] = (),
) -> None:
    """`images` uint8 (n, H, W, C) as np.savez writes it, without holding more than a batch in memory.

    In a conditional run also `labels` int64 (n,), and `class_names` where the classes have names, which
    dataset=image_folder reads.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    others = {} if labels is None else {"labels": labels.numpy()}
    if labels is not None and class_names:
        others["class_names"] = np.array(class_names)
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("images.npy", "w", force_zip64=True) as array:
            np.lib.format.write_array_header_1_0(array, header)
            for batch in batches:
                array.write(batch.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
        for name, values in others.items():
            with archive.open(f"{name}.npy", "w") as array:
                np.lib.format.write_array(array, values, allow_pickle=False)
