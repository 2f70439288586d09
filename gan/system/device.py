"""Where a run's tensors live."""

import contextlib
import ctypes
import errno
import logging
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from gan.config.errors import ConfigError
from gan.system import rank

log = logging.getLogger(__name__)
TOO_MUCH = (  # torch's words for more memory than there is, or than a number of bytes can say
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "Storage size calculation overflowed",
    "integer multiplication overflow",
)


def select_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one. Raises ConfigError for a device that this machine lacks."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [device for device, available in there.items() if available]
    name = found[0] if name == "auto" else name
    if name not in found:
        raise ConfigError(f"device={name} is not there: this machine has {' and '.join(found)}.")
    if rank.WORLD_SIZE > 1 and name == "mps":
        raise ConfigError("device=mps is not possible with several processes: it should be cpu.")
    if rank.WORLD_SIZE > 1 and name == "cuda":  # one for each process
        if torch.cuda.device_count() <= rank.LOCAL_RANK:
            raise ConfigError(
                "this machine has fewer GPUs than processes: start as many as there are, or say device=cpu."
            )
        return torch.device("cuda", rank.LOCAL_RANK)
    return torch.device(name)


def warn_if_bf16_is_slow(device: torch.device) -> None:
    """Warn where bfloat16 does not pay: a processor may lack such products, or be no faster with them."""
    if device.type != "cpu":
        return
    pairs = [(product_seconds(torch.bfloat16), product_seconds(torch.float32)) for _ in range(15)]
    slower = statistics.median(in_half / in_full for in_half, in_full in pairs)
    if slower > 1.1:
        log.warning(
            "precision=bf16 does not pay on this processor, where a product in bfloat16 takes %.1f times as long as "
            "one in fp32: precision=fp32 is likely to be faster.",
            slower,
        )


def product_seconds(dtype: torch.dtype) -> float:
    """The time of a matrix product such as a layer of 1,024 units needs for 64 images, on the CPU."""
    rows, weights = torch.ones(64, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    began = time.perf_counter()
    rows @ weights
    return time.perf_counter() - began


def describe_device(device: torch.device) -> str:
    """What a number was taken on, on a line: processor or GPU, threads, versions."""
    names = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(": ")[1] for line in names if line.startswith("model name")), platform.processor())
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    threads = torch.get_num_threads()
    return (
        f"{gpu}{cpu or platform.machine()}, {threads} thread{'s' if threads > 1 else ''}; "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Around what may ask for more memory than there is: raises OSError (ENOMEM), whichever way torch puts it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in TOO_MUCH):
            raise
        advice = "make the networks, train.batch_size, dataset.image_size or the number of images smaller"
        raise OSError(errno.ENOMEM, advice) from error


def flush_denormals() -> None:
    """Let the processor take numbers below 1e-38 for 0, with which it reckons many times slower than with others.

    Where D has won, the squares of G's gradients are that small, and a step would take three times as long. Threads
    that torch has started before go on as they did.
    """
    torch.set_flush_denormal(True)  # returns False where the processor cannot


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, as it will want as much again in the next step.

    By default the C library of Linux gives large arrays back at once, and the kernel must clear every page anew: a
    sixth of a convolutional network's step. Elsewhere this does nothing.
    """
    trim_threshold, mmap_max = -1, -4  # their numbers in glibc's malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, -1)  # never trim the heap,
        mallopt(mmap_max, 0)  # and put every array on it
