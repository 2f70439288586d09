"""Random numbers keyed by (seed, purpose, step): they never depend on what was drawn before.

A resumed run therefore equals an uninterrupted one, and two runs that differ in one trick see the same images and the
same noise at every step.
"""

import hashlib

import torch


def key(*parts: int | str) -> int:
    """A 32-bit seed for one purpose, such as `key(seed, "order", epoch)`."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def random_generator(device: torch.device | str, *parts: int | str) -> torch.Generator:
    """A new generator on `device`, seeded by `key(*parts)`."""
    return torch.Generator(device).manual_seed(key(*parts))


def reseed(device: torch.device, *parts: int | str) -> None:
    """Seed the default generators of the CPU and `device`, which layers use (dropout, initial weights).

    torch.manual_seed does this for all devices, and takes a hundred times as long on a CPU.
    """
    seed = key(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
