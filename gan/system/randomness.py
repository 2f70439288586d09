"""Randomness keyed by (seed, step): a draw depends on what it is for, never on what was drawn before it.

A resumed run therefore equals an unbroken one, and two runs that differ in one trick see the same images
and the same noise at every step.
"""

import hashlib

import torch


def key(*parts: int | str) -> int:
    """A 32-bit seed for one purpose, such as `key(seed, "order", epoch)`."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def random_generator(device: torch.device | str, *parts: int | str) -> torch.Generator:
    """A fresh stream of random numbers on `device` for the purpose that `parts` name."""
    return torch.Generator(device).manual_seed(key(*parts))


def reseed(device: torch.device, *parts: int | str) -> None:
    """Restart the stream that layers draw from (dropout, initial weights).

    `torch.manual_seed` does the same for all devices, and costs a hundred times as much on a CPU.
    """
    seed = key(*parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
