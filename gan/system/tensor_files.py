"""Files of `torch.save`: read without running code, and what is wrong told apart from what cannot be read."""

import errno
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from gan.config.errors import first_line
from gan.system import files
from gan.system.device import memory_errors


def load_tensors(path: Path) -> Any:
    """The content of a file that `torch.save` wrote, on the CPU.

    Raises OSError where it cannot be read, also for lack of memory, and ValueError where it is damaged or something
    else.
    """
    try:
        with memory_errors(), files.open_file(path) as file:
            check_parts(file)
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a damaged file leads its reader to a place that it does not have
            raise ValueError(first_line(error)) from error
        reason = f"{path} could not be loaded" if error.errno == errno.ENOMEM else error.strerror
        raise OSError(error.errno, reason, str(path)) from error
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        raise ValueError(first_line(error)) from error


def check_parts(file: BinaryIO) -> None:
    """Raise ValueError for a zip with a wrong checksum, which torch does not verify, and for one that is a bomb.

    torch.save stores all parts as they are, so that together they are smaller than the file.
    """
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        is_stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
        if not is_stored or sum(part.file_size for part in parts) > os.fstat(file.fileno()).st_size:
            raise ValueError("its parts are compressed")
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")
    file.seek(0)
