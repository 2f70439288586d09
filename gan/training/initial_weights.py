"""The weights of another run as the initial weights of a new one: init_from=outputs/RUN."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor, nn

from gan.cli import paths
from gan.config.errors import ConfigError, first_line, printable
from gan.system import console, distributed, files
from gan.training import checkpoint
from gan.training.state import TrainingRun

log = logging.getLogger(__name__)
SPECTRAL = ".parametrizations."  # in the names of what spectral normalization adds; its vectors adapt in a few steps
Weights = dict[str, Tensor]  # by their names in the state dict of a network


class Source(NamedTuple):
    """The weights of a trained run; `discriminator` and `ema` are empty where it has none.

    Attributes:
        name: of the run, the checkpoint or the file; `zoo/mnist` of a generator in the zoo.
        step: of the checkpoint, as `, step 500`; empty for a generator file, of which only the weights are read.
    """

    name: str
    step: str
    generator: Weights
    discriminator: Weights
    ema: Weights


class Fit(NamedTuple):
    """What a network takes from other weights.

    Attributes:
        weights: all of its weights, with those that it takes.
        taken: number of layers that it takes.
        anew: its other layers, by name, with their shapes.
    """

    weights: Weights
    taken: int
    anew: list[str]


def start_from(run: TrainingRun, source: Source) -> None:
    """Start a new run from the weights of a trained one. Nothing else is taken: no optimizer state, no step.

    Layers of another shape keep the run's own initial weights. Without a layer in G that does, the EMA of G goes on
    from that of `source`.

    Raises ConfigError where nothing fits.
    """
    with checkpoint.compatible_version(Path(source.name)):
        fits = {
            "generator": fit(run.generator, source.generator),
            "discriminator": fit(run.players.discriminator.network, source.discriminator),
        }
        if not any(found.taken for found in fits.values()):
            raise ConfigError(
                f"init_from={printable(source.name)}: none of its layers has the shape of one in this run; choose the "
                "model that it was trained with."
            )
        for player, found in zip(run.players, fits.values(), strict=True):
            player.network.load_state_dict(found.weights)
            player.update_copies()
        for ema in run.emas:
            ema.network.load_state_dict(fit(ema.network, source.ema or source.generator).weights)
            ema.warms_up = bool(fits["generator"].anew)
    for line in describe_fits(source, fits):
        log.info(line, extra=console.IN_SINGLE_RUN)


def read_source(path: Path) -> Source:
    """The weights at `path`, which may come from a stranger. In rank 0; every process gets them.

    Args:
        path: a run folder, a checkpoint, or a file of `sample.py format=safetensors`, which has no discriminator.

    Raises ConfigError where it is something else; OSError where it cannot be read.
    """
    return distributed.from_rank_zero(lambda: read_weights(path))


def read_weights(path: Path) -> Source:
    """`read_source` in one process."""
    if paths.is_generator(path):
        return Source(paths.name_run(path), "", read_generator(path), {}, {})
    if path.is_dir():
        files.check_links(path)
        state = checkpoint.load(path)
    else:
        state = checkpoint.read(path) or {}
        if not state:
            problem = "is no checkpoint" if path.exists() else "does not exist"
            raise ConfigError(
                f"init_from={printable(path)}: {problem}; must be a run folder, a checkpoint of one, or a file of "
                "sample.py format=safetensors."
            )
        checkpoint.check_format(path, state)
    networks = [tensors_of(state.get(name)) for name in ("generator", "discriminator", "ema")]
    return Source(str(path), f", step {state['step']}", *networks)


def read_generator(path: Path) -> Weights:
    """The weights in a file of `sample.py format=safetensors`."""
    try:
        with files.open_file(path) as file:
            return safetensors.torch.load(file.read())
    except (safetensors.SafetensorError, ValueError) as error:
        raise ConfigError(
            f"init_from={printable(path)}: is no file of sample.py format=safetensors ({first_line(error)})."
        ) from error


def tensors_of(state: Any) -> Weights:
    """The tensors of a state dict in a checkpoint, which may be damaged on purpose."""
    entries = state.items() if isinstance(state, dict) else ()
    return {name: value for name, value in entries if isinstance(name, str) and isinstance(value, Tensor)}


def fit(network: nn.Module, others: Weights) -> Fit:
    """What `network` takes from the weights of another one: each layer of the same shape in the same place.

    Nothing where only BatchNorm fits, as between networks that have nothing else in common.
    """
    own = network.state_dict()
    is_normalized = any(SPECTRAL in name for name in own)
    here, there = layers_by_place(own, is_normalized), layers_by_place(others, is_normalized)
    fitting = {place for place in here.keys() & there.keys() if shapes_of(here[place]) == shapes_of(there[place])}
    if all(dimensions == 1 for _, dimensions, _ in fitting):
        fitting = set()
    weights = dict(own)
    for place in fitting:
        weights |= {name: others[there[place].names[leaf]] for leaf, name in here[place].names.items()}
    counted = {place: layer for place, layer in here.items() if SPECTRAL not in layer.path}
    anew = [
        f"{layer.path} ({describe_shape(layer)}; there {describe_shape(there[place]) if place in there else 'none'})"
        for place, layer in counted.items()
        if place not in fitting
    ]
    return Fit(weights, len(counted) - len(anew), anew)


class Layer(NamedTuple):
    """The weights of one layer in a state dict.

    Attributes:
        path: its name in the network.
        names: by the names of its weights within the layer, such as `bias`, those in the state dict.
        tensors: by the same names, the weights.
    """

    path: str
    names: dict[str, str]
    tensors: Weights


def layers_by_place(weights: Weights, is_normalized: bool) -> dict[tuple[str, int, int], Layer]:
    """The layers of a state dict. The place of one is its number among those of its kind in that part of the network.

    So it keeps its place where a layer without weights, such as dropout, or BatchNorm comes or goes before it.

    Args:
        is_normalized: whether a weight under spectral normalization has the place of one without it.
    """
    layers: dict[str, Layer] = {}
    for name, tensor in weights.items():
        plain = name.replace(".parametrizations.weight.original", ".weight") if is_normalized else name
        path, _, leaf = plain.rpartition(".")
        layer = layers.setdefault(path, Layer(path, {}, {}))
        layer.names[leaf], layer.tensors[leaf] = name, tensor
    counts: Counter[tuple[str, int]] = Counter()
    places = {}
    for _, layer in sorted(layers.items(), key=lambda item: in_order(item[0])):  # a safetensors file has 10 before 2
        kind = re.sub(r"\.?\d+", "", layer.path), max(tensor.dim() for tensor in layer.tensors.values())
        places[*kind, counts[kind]] = layer
        counts[kind] += 1
    return places


def in_order(path: str) -> list[tuple[int, str]]:
    """A key to sort the names of layers by, in which `layers.2` comes before `layers.10`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in path.split(".")]


def shapes_of(layer: Layer) -> dict[str, tuple[int, ...]]:
    """The shape of each weight in a layer."""
    return {leaf: tuple(tensor.shape) for leaf, tensor in layer.tensors.items()}


def describe_shape(layer: Layer) -> str:
    """The shape of a layer's largest weight, as `16x1x4x4`."""
    return "x".join(map(str, max(layer.tensors.values(), key=Tensor.numel).shape))


def describe_fits(source: Source, fits: Mapping[str, Fit]) -> list[str]:
    """Lines about what was taken from `source`, and which layers start anew."""
    parts = [f"{found.taken} of {found.taken + len(found.anew)} layers of the {name}" for name, found in fits.items()]
    lines = console.wrapped(
        console.labeled("starts from", f"{printable(f'{source.name}{source.step}')}: {', '.join(parts)}")
    )
    for name, found in fits.items():
        if found.anew and found.taken:
            lines += console.wrapped(console.labeled("anew", f"{name}: {', '.join(found.anew)}"))
    return lines
