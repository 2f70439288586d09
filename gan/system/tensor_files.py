"""Files of `torch.save`: read without running code, and what is wrong told apart from what cannot be read."""

import errno
import zipfile
from pathlib import Path
from typing import Any

import torch

from gan.config.errors import first_line
from gan.system.device import memory_errors


def load_tensors(path: Path) -> Any:
    """The content of a file that `torch.save` wrote, on the CPU.

    Raises OSError where it cannot be read, also for lack of memory, and ValueError where it is damaged or something
    else.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ValueError("it is not a file")
    try:
        with memory_errors(), path.open("rb") as file:
            with zipfile.ZipFile(file) as archive:
                if damaged := archive.testzip():  # torch does not verify the checksums
                    raise ValueError(f"its part {damaged} is damaged")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # a damaged file leads its reader to a place that it does not have
            raise ValueError(first_line(error)) from error
        reason = f"{path} could not be loaded" if error.errno == errno.ENOMEM else error.strerror
        raise OSError(error.errno, reason, str(path)) from error
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        raise ValueError(first_line(error)) from error
