"""The device that trains, and what makes it fast."""

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
MEMORY_MESSAGES = (  # torch's, for more memory than there is, or than a byte count can express
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "Storage size calculation overflowed",
    "integer multiplication overflow",
)


def select_device(name: str) -> torch.device:
    """The device `name`; `auto` is the first GPU if there is one. Raises ConfigError for one that is not available.

    A GPU becomes CUDA's current device, so that its memory alone is used.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    available = {"cuda": gpus > 0, "mps": torch.backends.mps.is_available(), "cpu": True}
    devices = [device for device, is_available in available.items() if is_available]
    name = devices[0] if name == "auto" else name
    kind, _, number = name.partition(":")
    if kind not in devices or int(number or 0) >= max(gpus, 1):
        known = [*(f"cuda:{each}" for each in range(gpus) if gpus > 1), *devices]
        raise ConfigError(f"device={name} is not available: it should be {' or '.join(known)} on this machine.")
    if rank.WORLD_SIZE > 1 and kind == "mps":
        raise ConfigError("device=mps is not supported with several processes: it should be cpu.")
    if kind != "cuda":
        return torch.device(kind)
    if rank.WORLD_SIZE > 1:  # one GPU for each process
        if number:
            raise ConfigError(f"device={name}: several processes take one GPU each; it should be cuda.")
        if gpus <= rank.LOCAL_RANK:
            raise ConfigError(
                f"device=cuda: this machine has {gpus} GPUs for more processes; start one process for each, or set "
                "device=cpu."
            )
    device = torch.device("cuda", rank.LOCAL_RANK if rank.WORLD_SIZE > 1 else int(number or 0))
    torch.cuda.set_device(device)
    return device


def warn_if_bf16_is_slow(device: torch.device) -> None:
    """Warn where a CPU multiplies matrices no faster in bfloat16 than in float32, as one without bfloat16 units."""
    if device.type != "cpu":
        return
    pairs = [(matmul_seconds(torch.bfloat16), matmul_seconds(torch.float32)) for _ in range(15)]
    slowdown = statistics.median(bf16 / fp32 for bf16, fp32 in pairs)
    if slowdown > 1.1:
        log.warning(
            "precision=bf16 is likely to be slower than precision=fp32 on this processor: a matrix product takes %.1f "
            "times as long.",
            slowdown,
        )


def matmul_seconds(dtype: torch.dtype) -> float:
    """Seconds for one matrix product on the CPU, that of a layer of 1,024 units for 64 images."""
    inputs, weights = torch.ones(64, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    start = time.perf_counter()
    inputs @ weights
    return time.perf_counter() - start


def describe_device(device: torch.device) -> str:
    """Processor or GPU, threads and versions, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    threads = torch.get_num_threads()
    return (
        f"{gpu}{cpu or platform.machine()}, {threads} thread{'s' if threads > 1 else ''}; "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Raise OSError (ENOMEM) for every error with which torch says that there is too little memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(message in str(error) for message in MEMORY_MESSAGES):
            raise
        advice = "make the networks, train.batch_size, dataset.image_size or the number of images smaller"
        raise OSError(errno.ENOMEM, advice) from error


def is_memory_error(error: Exception) -> bool:
    """Whether `memory_errors` raised it."""
    return isinstance(error, OSError) and error.errno == errno.ENOMEM


def flush_denormals() -> None:
    """Let the CPU flush denormals (numbers below 1e-38) to zero, since it computes many times slower with them.

    Adam's squared gradients of G become denormals where D has won, and a step would take three times as long. Threads
    that torch has already started are not affected.
    """
    torch.set_flush_denormal(True)  # returns False where the CPU cannot


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step. Does nothing on other systems.

    By default it returns large arrays to the kernel at once, which then clears each page again: a sixth of the time of
    a convolutional network's step.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX in malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, -1)  # never trim the heap
        mallopt(mmap_max, 0)  # and allocate every array on it
