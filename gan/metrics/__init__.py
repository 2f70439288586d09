"""Metrics of generated images: what is computed, on which features, by which protocol. Imports torch in `fid` only."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MIN_FID_IMAGES = 2  # a covariance needs as many


def fid(
    images: Any,
    reference: Any,
    features: "str | Path | Callable[[Tensor], Tensor]" = "inception",
    *,
    device: "torch.device | str" = "cpu",
    trust: bool = False,
    batch_size: int = 64,
) -> float:
    """Fréchet distance between the features of two sets of images (Heusel et al. 2017): 0 for equal sets.

    It decreases with the number of images, for the same generator: compare numbers of equally many.

    Args:
        images: uint8 (N, C, H, W), a tensor or an array, gray (C = 1) or color (C = 3), from 0 to 255; N >= 2.
        reference: images in the same form, equally large, or the path of an npz with `mu` and `sigma`, as pytorch-fid,
            clean-fid and EDM publish them.
        features: `inception` (downloaded once), the path of a file as for `features=` of `gan.evaluate`, or any
            function from images uint8 (B, C, H, W) on `device` to features (B, d).
        device: where features are computed.
        trust: whether a TorchScript may be loaded, which is code.
        batch_size: images that are given to `features` at a time.

    Raises ValueError for arrays of another form, and ConfigError for a file that cannot be used.
    """
    import torch

    from gan.metrics.comparison import FeatureStats
    from gan.metrics.moments import frechet_distance, read_moments
    from gan.metrics.network_files import load_network

    place = torch.device(device)
    generated = checked_images(images, "images")
    others = reference if isinstance(reference, (str, Path)) else checked_images(reference, "reference")
    if not isinstance(others, (str, Path)) and others.shape[1:] != generated.shape[1:]:
        shapes = [tuple(each.shape[1:]) for each in (generated, others)]
        raise ValueError(f"images are {shapes[0]} and reference is {shapes[1]}; must have one shape (C, H, W)")
    network = features if callable(features) else load_network(str(features), trust).to(place)

    def outputs(batch: "Tensor") -> "tuple[Tensor, Tensor]":
        result = network(batch)
        values = result if isinstance(result, torch.Tensor) else result[0]
        if values.ndim != 2 or len(values) != len(batch):
            raise ValueError(f"features are {tuple(values.shape)} for {len(batch)} images; must be (B, d)")
        return values, values[:, :0]

    stats = FeatureStats(outputs, generated.split(batch_size), place)
    if isinstance(others, (str, Path)):
        moments = read_moments(Path(others), f"reference={others}")
        if len(moments.mean) != len(stats.mean):
            raise ValueError(f"{others} is of {len(moments.mean)} features, and these are {len(stats.mean)}")
        return frechet_distance(stats, moments)
    return frechet_distance(stats, FeatureStats(outputs, others.split(batch_size), place))


def checked_images(images: Any, name: str) -> "Tensor":
    """Images as a tensor uint8 (N, C, H, W). Raises ValueError for anything else."""
    import torch

    tensor = torch.as_tensor(images)
    if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape[1] not in (1, 3):
        raise ValueError(
            f"{name}: {tensor.dtype} {tuple(tensor.shape)}; must be uint8 (N, C, H, W) with 1 or 3 channels"
        )
    if len(tensor) < MIN_FID_IMAGES:
        raise ValueError(f"{name}: {len(tensor)} images; must be at least {MIN_FID_IMAGES}")
    return tensor
