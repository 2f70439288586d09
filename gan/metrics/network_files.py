"""Feature networks that are not trained here: Inception, downloaded or from a file of weights, and TorchScripts."""

import hashlib
import io
import logging
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan.config.errors import ConfigError, first_line, printable
from gan.data.downloads import network_timeout
from gan.data.image_folder import find_source
from gan.metrics.catalogue import INCEPTION
from gan.metrics.features import FeatureNetwork
from gan.system import files
from gan.system.device import is_memory_error, memory_errors
from gan.system.tensor_files import load_tensors

log = logging.getLogger(__name__)
BATCH_SIZE = 64  # images of 299x299 at a time, so that they fit into memory
NAME_LENGTH, COLUMN_LENGTH = 60, 16  # characters of a file's name that protocols and columns have
KNOWN = {  # files of the Inception of 2015, by SHA-256: the columns of scores on its features
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2": INCEPTION,  # of pytorch-fid and torch-fidelity
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4": "inception_stylegan",  # it resizes otherwise
}


class Inception(FeatureNetwork):
    """The Inception network of published FIDs as torch-fidelity has it, which resizes images to 299x299 by itself.

    Args:
        weights: its state dict; None: downloaded. Raises ConfigError if that fails, and RuntimeError for other weights.
    """

    def __init__(self, weights: dict[str, Tensor] | None = None) -> None:
        from torch_fidelity.utils import create_feature_extractor

        super().__init__()
        self.name, self.accuracy, self.column = "inception-v3-compat", None, INCEPTION
        source: dict[str, Any] = {}
        if weights is not None:  # a file of ours: torch-fidelity would load a stranger's pickle, code and all
            torch.save(weights, file := io.BytesIO())
            file.seek(0)
            source = {"feature_extractor_weights_path": file}
        layers = ["2048", "logits_unbiased"]
        try:
            with network_timeout():
                self.network = create_feature_extractor(self.name, layers, cuda=False, verbose=False, **source)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            if source:
                raise
            reason = " ".join(str(error).split())[:160]
            raise ConfigError(
                f"features=inception: its weights could not be downloaded ({reason}); connect to a network, or use "
                "features=PATH with a file of its weights, or features=classifier, which is trained here."
            ) from error

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = [self.network(part) for part in in_color(images).split(BATCH_SIZE)]
        features, logits = map(torch.cat, zip(*outputs, strict=True))
        is_known = self.column == INCEPTION  # scores on the classes of other weights would have no name of their own
        return features, logits if is_known else logits[:, :0]


class Scripted(FeatureNetwork):
    """A TorchScript from images uint8 (B, 3, H, W) to features (B, d), without classes.

    One that takes `return_features`, as StyleGAN's Inception does, is called with it. Calling it raises ConfigError
    where it does not take such images, or returns something else.

    Args:
        title: the setting that names it, for error messages.
    """

    def __init__(self, module: torch.jit.ScriptModule, title: str) -> None:
        super().__init__()
        self.module, self.title, self.accuracy = module, title, None
        takes = {argument.name for argument in module.forward.schema.arguments}  # type: ignore[attr-defined]
        self.options = {"return_features": True} if "return_features" in takes else {}

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        parts = []
        for part in in_color(images).split(BATCH_SIZE):
            try:
                with memory_errors():
                    features = self.module(part, **self.options)
            except (RuntimeError, TypeError) as error:
                reason = str(error).strip().splitlines()[-1].rstrip(".")
                raise ConfigError(
                    f"{self.title}: the TorchScript cannot be called with images uint8 {tuple(part.shape)}: {reason}."
                ) from error
            if not (isinstance(features, Tensor) and features.ndim == 2 and len(features) == len(part)):
                shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
                raise ConfigError(
                    f"{self.title}: the TorchScript returns {shape} for {len(part)} images: must be features (N, d)."
                )
            parts.append(features.float())
        features = torch.cat(parts)
        return features, features[:, :0]


def in_color(images: Tensor) -> Tensor:
    """Images (B, 1 or 3, H, W) with three channels."""
    return images.expand(-1, 3, -1, -1).contiguous()


def load_network(features: str, trust: bool) -> FeatureNetwork:
    """The network that `features=` names: `inception`, or a file with a state dict of Inception or a TorchScript.

    Args:
        trust: whether a TorchScript may be loaded, which is code.

    Raises ConfigError where there is no such file, or it is something else.
    """
    if features == INCEPTION:
        return Inception()
    title, path = f"features={printable(features)}", find_source(features)
    try:
        with files.open_file(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        is_script = is_torchscript(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        problem = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({first_line(error)})"
        raise ConfigError(
            f"{title} {problem}: must be classifier, inception, or a file of Inception's weights or a TorchScript."
        ) from error
    if is_script and not trust:
        raise ConfigError(f"{title} is a TorchScript, which is code: trust=true runs it, if you know who made it.")
    network = load_script(path, title) if is_script else load_inception(path, title)
    if digest in KNOWN:
        network.column = KNOWN[digest]
        network.name = network.name if network.column == INCEPTION else f"{network.column}-{digest[:8]}"
        return network
    words = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:NAME_LENGTH] or "file"
    network.column = f"{words[:COLUMN_LENGTH].strip('_')}_{digest[:8]}"
    network.name = f"{words}-{digest[:8]}"
    log.warning(
        "%s is not one of the files that published scores are computed with: its scores have a name of their own, such "
        "as fid_%s",
        *(title, network.column),
    )
    return network


def is_torchscript(path: Path) -> bool:
    """Whether a file is one of `torch.jit.save`: a zip with constants, which `torch.save` does not write."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def load_script(path: Path, title: str) -> Scripted:
    """The TorchScript in a file. Raises ConfigError for a damaged one."""
    try:
        with memory_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch.export is what TorchScript will be replaced by
            return Scripted(torch.jit.load(str(path), map_location="cpu").eval(), title)
    except Exception as error:  # a damaged file makes the reader raise nearly anything
        if is_memory_error(error):
            raise
        raise ConfigError(f"{title} cannot be loaded as a TorchScript; it may be damaged.") from error


def load_inception(path: Path, title: str) -> Inception:
    """Inception with the state dict in a file, whose keys pytorch-fid and torch-fidelity share. Raises ConfigError."""
    try:
        if zipfile.is_zipfile(path):
            state = load_tensors(path)
        else:  # the format before torch 1.6, which the published file has
            with memory_errors(), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # about pickles, which raise an error anyway
                state = torch.load(path, map_location="cpu", weights_only=True)
        return Inception(dict(state))
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # of reading or of memory
            raise
        raise ConfigError(
            f"{title} is neither a TorchScript nor a state dict of Inception as in pytorch-fid and torch-fidelity: "
            "must be pt_inception-2015-12-05-6726825d.pth or a file of its form."
        ) from error
