"""Points in files: a CSV with a point on each line, or an npy. Pickles are never loaded."""

import csv
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan.config.errors import ConfigError, first_line, printable
from gan.data.arrays import MAGIC, map_array
from gan.data.image_folder import find_source
from gan.data.sources import MAX_FILE_BYTES
from gan.system import files

FORM = "(N, d) with d from 1 to 3"


def read_points(text: str, setting: str) -> Tensor:
    """The points float32 (N, d) in the file that `setting` names.

    Raises ConfigError where it is none, or has something else than finite numbers.
    """
    path, title = find_source(text), f"{setting}={printable(text)}"
    try:
        content = files.read_bytes(path, MAX_FILE_BYTES)
        array = read_npy(path) if content.startswith(MAGIC) else parse_csv(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{title} does not exist; it should be a file .csv or .npy of points.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"{title} cannot be read as points: {first_line(error)}.") from error
    if array.ndim != 2 or not 1 <= array.shape[1] <= 3:
        raise ConfigError(f"{title} has the shape {array.shape}: must be {FORM}.")
    points = torch.tensor(array).float()
    if not points.isfinite().all():
        raise ConfigError(f"{title} has values that are infinite or NaN: must be finite numbers, as float32.")
    return points


def read_npy(path: Path) -> np.ndarray:
    """The array in an npy file, float64. Raises ValueError where it is damaged, or needs a pickle."""
    with files.open_file(path) as file:
        return np.array(map_array(file), np.float64)


def parse_csv(text: str) -> np.ndarray:
    """The numbers of a CSV, float64 (N, d); a first line that names the columns is skipped. Raises ValueError."""
    rows: list[list[float]] = []
    for number, row in enumerate(csv.reader(io.StringIO(text), strict=True), 1):
        if not any(map(str.strip, row)):
            continue
        try:
            rows.append([float(value) for value in row])
        except ValueError:
            if number > 1:
                raise ValueError(f"line {number} is {printable(','.join(row)[:40])!r}, and must be numbers") from None
            continue
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"line {number} has {len(rows[-1])} numbers, and the first has {len(rows[0])}")
    if not rows:
        raise ValueError("it has no points")
    return np.array(rows)
