"""Sample grids as they are embedded in a page: small, at their own pixels, at steps that the runs share."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan.cli.contact_sheet import spans
from gan.report.runs import RunFolder, thin_out
from gan.system import files
from gan.system.images import damage, open_image, read_image

PAGE_BYTES = 20 * 2**20  # of all images in a page; base64 makes a third more of them
MAX_STEPS = 24  # at which sample grids are shown
FEW_STEPS = 8  # with fewer, smaller images are better than fewer steps
MAX_WIDTH = 340  # pixels of a grid: as wide as a phone's screen
MAX_ENLARGED = 3  # times, in a page
LOSSY_QUALITY = 85


class Frame(NamedTuple):
    """A sample grid of a run, with its content as a data URL, and the size at which it is shown, in pixels.

    Args:
        is_reduced: whether it has more pixels than that, as a figure whose text is to be read where it is enlarged.
    """

    step: int
    url: str
    width: int
    height: int
    is_reduced: bool = False


@dataclass(frozen=True)
class Encoding:
    """How the grids of a report are embedded.

    Args:
        tiles: images along a side, from the top left; fewer where the grid has fewer.
        is_lossless: whether every pixel is kept.
    """

    tiles: int
    is_lossless: bool

    def frame(self, step: int, grid: Image.Image) -> Frame:
        return make_frame(step, crop_grid(grid, self.tiles), self.is_lossless)


ENCODINGS = [Encoding(tiles, is_lossless) for tiles in (8, 6, 5, 4, 3, 2, 1) for is_lossless in (True, False)]


def embed_grids(runs: list[RunFolder]) -> tuple[dict[Path, list[Frame]], Encoding]:
    """Sample grids of each run, by its folder, at the same steps where they have the same; and how they are encoded.

    All runs have the same share of PAGE_BYTES, and the last grid of each is in. What cannot be read is left out, and
    named in the run's `damage`.
    """
    share = PAGE_BYTES // len(runs)
    steps = {run.folder: {grid_step(path): path for path in run.sample_grids} for run in runs}
    encoding, size = choose_encoding(runs, share)
    shown = set(thin_out(common_steps(list(steps.values())), max(1, min(share // size, MAX_STEPS))))
    frames = {}
    for run in runs:
        last = max(steps[run.folder], default=None)
        wanted = [(step, path) for step, path in steps[run.folder].items() if step in shown or step == last]
        grids = [(step, read_grid(run, path)) for step, path in wanted[-MAX_STEPS:]]
        frames[run.folder] = [encoding.frame(step, grid) for step, grid in grids if grid]
    return frames, encoding


def choose_encoding(runs: list[RunFolder], share: int) -> tuple[Encoding, int]:
    """The best encoding with which the grids of a run fit into `share` bytes, and the bytes of the largest one in it.

    Those of FEW_STEPS steps fit, or of all steps if they are fewer.
    """
    count = min(FEW_STEPS, max(len(run.sample_grids) for run in runs))
    lasts = [(run.sample_grids[-1].stat().st_size, run) for run in runs if run.sample_grids]
    by_size = (run for _, run in sorted(lasts, key=lambda pair: pair[0], reverse=True))
    largest = next((grid for run in by_size if (grid := read_grid(run, run.sample_grids[-1]))), None)
    encoding, size = ENCODINGS[0], 1
    if largest:
        for encoding in ENCODINGS:
            size = len(encoding.frame(0, largest).url) * 3 // 4
            if size * count <= share:
                break
    return encoding, size


def common_steps(steps: list[dict[int, Path]]) -> list[int]:
    """The steps that most of the runs with sample grids have, sorted: those at which they can be compared."""
    counts: dict[int, int] = {}
    for own in steps:
        for step in own:
            counts[step] = counts.get(step, 0) + 1
    most = max(counts.values(), default=0)
    return sorted(step for step, count in counts.items() if 2 * count >= most)


def grid_step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def read_grid(run: RunFolder, path: Path) -> Image.Image | None:
    """A sample grid; None where it cannot be read."""
    return run.read(lambda file: read_image(file).convert("RGB"), path.relative_to(run.folder).as_posix())


def embed_file(run: RunFolder, name: str, tiles: int | None = None) -> Frame | None:
    """Another image of the run, such as samples/real.png, with every pixel; None where there is none.

    Args:
        tiles: of a grid, how many images along a side; None for the whole image.
    """
    image = run.read(lambda file: read_image(file).convert("RGB"), name)
    if image is None:
        return None
    if tiles:
        return make_frame(0, crop_grid(image, tiles), is_lossless=True)
    return Frame(0, data_url(image, is_lossless=True), *image.size)


def embed_animation(run: RunFolder, name: str, max_bytes: int) -> Frame | None:
    """A GIF of the run as it is; None where there is none, or it is larger than `max_bytes` or wider than MAX_WIDTH."""

    def read(path: Path) -> Frame | None:
        if path.stat().st_size > max_bytes:
            return None
        content = files.read_bytes(path, max_bytes)
        with damage(), open_image(io.BytesIO(content), ["GIF"]) as image:
            url = f"data:image/gif;base64,{base64.b64encode(content).decode()}"
            return Frame(0, url, *image.size) if image.width <= MAX_WIDTH else None

    return run.read(read, name)


def crop_grid(grid: Image.Image, tiles: int) -> Image.Image:
    """The first images of the first rows of a grid, as many as MAX_WIDTH has room for and at most `tiles`."""
    pixels = np.asarray(grid)
    is_line = (pixels == pixels[0, 0]).all(axis=2)
    columns, rows = list(spans(is_line.all(axis=0))), list(spans(is_line.all(axis=1)))
    fitting = max(1, sum(right < MAX_WIDTH for _, right in columns))
    count = min(tiles, fitting)
    right, bottom = (ends[min(count, len(ends)) - 1][1] for ends in (columns, rows))
    return grid.crop((0, 0, min(right + 1, grid.width), min(bottom + 1, grid.height)))


def make_frame(step: int, image: Image.Image, is_lossless: bool) -> Frame:
    """A frame that is not shown wider than MAX_WIDTH, but at a whole fraction of the image's size.

    A page can enlarge it up to MAX_ENLARGED times, so it keeps as many pixels.
    """
    factor = -(-image.width // MAX_WIDTH)
    size = (image.width // factor, image.height // factor)
    kept = image.reduce(-(-factor // MAX_ENLARGED)) if factor > MAX_ENLARGED else image
    return Frame(step, data_url(kept, is_lossless), *size, is_reduced=factor > 1)


def data_url(image: Image.Image, is_lossless: bool) -> str:
    """The image as the URL of a WebP."""
    file = io.BytesIO()
    image.save(file, format="webp", lossless=is_lossless, quality=50 if is_lossless else LOSSY_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
