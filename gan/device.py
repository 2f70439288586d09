"""Where a run's tensors live."""

import torch

from gan.errors import Refused


def pick(name: str) -> torch.device:
    """`auto` is the first GPU if there is one. Raises Refused for a device that this machine lacks."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [device for device, available in there.items() if available]
    if name == "auto":
        return torch.device(found[0])
    if name not in found:
        raise Refused(f"device={name} is not there: this machine has {' and '.join(found)}.")
    return torch.device(name)
