"""Means and covariances of features, in files as pytorch-fid, clean-fid and EDM have them, and FID against these."""

import hashlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import fid_statistics_to_metric

from gan.config.errors import ConfigError, first_line, printable
from gan.data.image_shape import ImageShape
from gan.metrics.catalogue import fid
from gan.metrics.comparison import FeatureStats
from gan.metrics.features import FeatureNetwork
from gan.system import files
from gan.system.images import damage

MEAN, COVARIANCE, FEATURES = "mu", "sigma", "features"  # of an npz; only ours have the name of the features
MAX_FILE_BYTES = 2**30  # of 2,048 features it has 34 MB


class HasMoments(Protocol):
    """Features float64: `mean` (d,) and `covariance` (d, d)."""

    @property
    def mean(self) -> Tensor: ...

    @property
    def covariance(self) -> Tensor: ...


class Moments(NamedTuple):
    """Mean and covariance of features in a file.

    Args:
        name: of the file, with a hash of its content.
        features: name of the network that computed them; empty where the file does not say.
    """

    mean: Tensor
    covariance: Tensor
    name: str
    features: str


def frechet_distance(one: HasMoments, other: HasMoments) -> float:
    """Squared Fréchet distance between normal distributions with these moments (Heusel et al. 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)), as torch-fidelity computes it.
    """
    moments = [{"mu": each.mean.numpy(), "sigma": each.covariance.numpy()} for each in (one, other)]
    return fid_statistics_to_metric(*moments, verbose=False)["frechet_inception_distance"]


def read_moments(path: Path, title: str) -> Moments:
    """The moments in an npz. Raises ConfigError where it has none, OSError where it cannot be read.

    Args:
        title: the setting that names it, for error messages.
    """
    try:
        content = files.read_bytes(path, MAX_FILE_BYTES)
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise ValueError("it is no npz")
        with damage(), np.load(io.BytesIO(content), allow_pickle=False) as archive:
            names = archive.files
            if sum(part.file_size for part in archive.zip.infolist()) > MAX_FILE_BYTES:
                raise ValueError("it is too large")
            arrays = {name: archive[name] for name in (MEAN, COVARIANCE, FEATURES) if name in names}
    except FileNotFoundError as error:
        raise ConfigError(f"{title} does not exist; it should be an npz with {MEAN} and {COVARIANCE}.") from error
    except (ValueError, MemoryError) as error:
        raise ConfigError(
            f"{title} cannot be read as an npz with {MEAN} and {COVARIANCE}: {first_line(error)}."
        ) from error
    if not {MEAN, COVARIANCE} <= arrays.keys():
        found = ", ".join(map(printable, names))
        raise ConfigError(f"{title} has the arrays {found}: must have {MEAN} and {COVARIANCE}.")
    mean, covariance = arrays[MEAN], arrays[COVARIANCE]
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ConfigError(
            f"{title}: {MEAN} has the shape {mean.shape} and {COVARIANCE} {covariance.shape}: must be (d,) and (d, d)."
        )
    if not all(array.dtype.kind in "iuf" and np.isfinite(array).all() for array in (mean, covariance)):
        raise ConfigError(f"{title}: {MEAN} and {COVARIANCE} must be finite numbers.")
    digest = hashlib.blake2b(content, digest_size=4).hexdigest()
    return Moments(
        torch.from_numpy(mean.astype(np.float64)),
        torch.from_numpy(covariance.astype(np.float64)),
        f"{printable(path.name)}-{digest}",
        printable(arrays.get(FEATURES, ""))[:100],
    )


def write_moments(path: Path, stats: FeatureStats, features: str) -> None:
    """Write the moments of `stats` on the features of the network `features` as an npz."""
    arrays = {MEAN: stats.mean.numpy(), COVARIANCE: stats.covariance.numpy(), FEATURES: np.array(features)}
    with files.atomic_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


@dataclass
class MomentsReference:
    """What `protocol.Reference` is, where only the moments of the real images are known: it has the FID alone.

    Args:
        image: shape of the images that are scored.
        title: the setting that names the moments, for error messages.

    Raises ConfigError where the moments are those of other features.
    """

    moments: Moments
    network: FeatureNetwork
    device: torch.device
    image: ImageShape
    title: str

    def __post_init__(self) -> None:
        if self.moments.features not in ("", self.network.name):
            raise ConfigError(
                f"{self.title} has statistics of the features {self.moments.features}, and features=... chooses "
                f"{self.network.name}: both must be the same."
            )
        probe = torch.zeros(2, self.image.channels, self.image.size, self.image.size, dtype=torch.uint8)
        dimension = FeatureStats(self.network, [probe], self.device).features.shape[1]
        if dimension != len(self.moments.mean):
            raise ConfigError(
                f"{self.title} has statistics of {len(self.moments.mean)} features, and {self.network.name} has "
                f"{dimension}: both must be of the same network."
            )

    def feature_stats(self, batches: Iterable[Tensor]) -> FeatureStats:
        """The statistics of images uint8, in batches (B, C, H, W)."""
        return FeatureStats(self.network, batches, self.device)

    def score(self, stats: FeatureStats, *_: object) -> dict[str, float]:
        """The FID, by its column."""
        return {fid.column(str(self.network.column)): frechet_distance(stats, self.moments)}

    def real_data_baseline(self, *_: object) -> dict[str, float]:
        """None: there are no real images."""
        return {}

    def record(self, count: int) -> dict[str, Any]:
        """The protocol of scores of `count` generated images."""
        return {
            "dataset": self.moments.name,
            "features": self.network.name,
            "accuracy": self.network.accuracy,
            "generated": count,
            "real": None,
            "split": None,
        }
