"""A trained generator as a file for other programs: ONNX, TorchScript or safetensors, checked by running it."""

import contextlib
import copy
import importlib
import importlib.util
import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gan import generator_file, sampling
from gan.config.errors import ConfigError, first_line
from gan.data.image_shape import PixelRange
from gan.models.base import Generator
from gan.system import files, randomness
from gan.system.device import memory_errors
from gan.training.build import TrainedRun

INPUTS, IMAGES = ("noise", "labels"), "images"  # of an exported generator
TOLERANCE = 1e-4  # between the file's images and the generator's, as a fraction of the largest pixel if that is above 1
TRACED_IMAGES, CHECKED_IMAGES = 2, (1, 3)  # batches to export with and to check with
Call = Callable[..., Tensor]
Output = Literal["uint8", "float"]


class ExportedGenerator(nn.Module):
    """A copy of G as it is exported, on the CPU and without gradients.

    Args:
        output: `uint8` scales pixels to 0 to 255; `float` leaves them in G's `pixel_range`.
    """

    def __init__(self, generator: Generator, output: Output) -> None:
        super().__init__()
        self.generator, self.output = copy.deepcopy(generator).cpu().requires_grad_(False), output
        self.eval()

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) or points (N, d) for `noise` (N, noise_dim), of classes `labels` (N,) if it has any."""
        images = self.generator(noise, labels).float()
        return sampling.quantize(images, self.generator.pixel_range) if self.output == "uint8" else images


def export_generator(run: TrainedRun, kind: str, output: Output, path: Path) -> str:
    """Write the generator of a run to `path`, load the file again and run it. Returns how it was checked.

    Args:
        kind: `onnx`, `torchscript` or `safetensors`, which has weights and no code, so that `output` is `float` there.

    Raises ConfigError where a package is missing, torch cannot export the network, or the file's images are not the
    generator's; then there is no file.
    """
    if kind == "onnx":
        require_onnx(kind)
    network = ExportedGenerator(run.generator, "float" if kind == "safetensors" else output)
    with files.atomic_write(path) as file:
        file.write(WRITERS[kind](run, network))
        file.flush()
        return check_file(run, network, kind, Path(file.name))


def require_onnx(kind: str) -> None:
    """Raise ConfigError where the packages that write ONNX are not installed."""
    if missing := [name for name in ("onnx", "onnxscript") if not is_installed(name)]:
        raise ConfigError(
            f"format={kind}: needs {' and '.join(missing)}; type pip install onnx onnxscript onnxruntime (the last one "
            "checks the file)."
        )


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def draw_inputs(run: TrainedRun, count: int) -> tuple[Tensor, ...]:
    """Noise (count, noise_dim), and labels (count,) where G is conditional."""
    noise = run.noise.sample(count, randomness.random_generator("cpu", "export", count))
    labels = sampling.cycle_labels(run.generator.class_count, count, noise.device)
    return (noise,) if labels is None else (noise, labels)


# Writing


def write_onnx(run: TrainedRun, network: ExportedGenerator) -> bytes:
    """The ONNX file, with a batch of any size, and without the paths of this machine that torch writes into it."""
    inputs = draw_inputs(run, TRACED_IMAGES)
    with torch_errors("onnx"):
        program = torch.onnx.export(
            network,
            inputs,
            input_names=INPUTS[: len(inputs)],
            output_names=[IMAGES],
            dynamic_shapes=tuple({0: "batch"} for _ in inputs),
            custom_translation_table={torch.ops.aten.native_dropout.default: onnx_dropout},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
    return model.SerializeToString()


def onnx_dropout(inputs: Any, p: float, train: bool) -> Any:
    """Dropout in sampling (trick=generator_dropout) for ONNX. Its own operator for it is left out by onnxruntime."""
    op = importlib.import_module("onnxscript").opset18
    kept = op.GreaterOrEqual(op.RandomUniformLike(inputs), p)
    return op.Where(kept, op.Div(inputs, 1 - p), 0.0), kept


def write_torchscript(run: TrainedRun, network: ExportedGenerator) -> bytes:
    """The TorchScript file, without its debug information, which has the paths of this machine."""
    whole, file = io.BytesIO(), io.BytesIO()
    with torch_errors("torchscript"):
        torch.jit.save(torch.jit.trace(network, draw_inputs(run, TRACED_IMAGES), check_trace=False), whole)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(file, "w") as stripped:
        for part in archive.infolist():
            if not part.filename.endswith(".debug_pkl"):
                stripped.writestr(part, archive.read(part))
    return file.getvalue()


@contextlib.contextmanager
def torch_errors(kind: str) -> Iterator[None]:
    """Around an exporter of torch: a ConfigError where it cannot export a network, which may be the user's own.

    What it prints is left out: that TorchScript is deprecated, that tracing keeps sizes as they are, what was
    simplified, and on an error the whole graph.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), memory_errors():
            warnings.simplefilter("ignore")
            yield
    except RuntimeError as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ConfigError(f"format={kind}: torch cannot export this generator: {first_line(cause)}.") from error
    finally:
        logging.disable(disabled)


WRITERS: dict[str, Callable[[TrainedRun, ExportedGenerator], bytes]] = {
    "onnx": write_onnx,
    "torchscript": write_torchscript,
    "safetensors": lambda run, network: generator_file.to_bytes(run, network.generator),
}


# Reading


def load_onnx(path: Path) -> Call:
    """The images of an ONNX file in onnxruntime, for noise and labels."""
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])

    def call(*inputs: Tensor) -> Tensor:
        named = {name: value.numpy() for name, value in zip(INPUTS, inputs, strict=False)}
        return torch.from_numpy(session.run([IMAGES], named)[0])

    return call


def load_torchscript(path: Path) -> Call:
    """The images of a TorchScript file, for noise and labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        return torch.jit.load(path, map_location="cpu")


def load_safetensors(path: Path) -> Call:
    """A generator built from a file that was just written here, whose code the run was allowed to name."""
    return generator_file.load_generator(path, trust=True)


LOADERS: dict[str, tuple[str, Callable[[Path], Call]]] = {  # with the name of what runs the file
    "onnx": ("onnxruntime", load_onnx),
    "torchscript": ("torch.jit", load_torchscript),
    "safetensors": ("a generator built from it", load_safetensors),
}


# Checking


@torch.no_grad()
def check_file(run: TrainedRun, network: ExportedGenerator, kind: str, path: Path) -> str:
    """Run the file on batches of two sizes. Returns a clause that says how; raises ConfigError for other images."""
    runtime, load = LOADERS[kind]
    if kind == "onnx" and not is_installed("onnxruntime"):
        return "none, as onnxruntime is not installed"
    batches = [draw_inputs(run, count) for count in CHECKED_IMAGES]
    try:
        call = load(path)
        found = [call(*inputs) for inputs in batches]
    except Exception as error:  # onnxruntime has a kind for each, and the network may be the user's own
        raise ConfigError(f"format={kind}: the file cannot be run: {first_line(error)}; it was not kept.") from error
    is_random = draws_numbers(network.generator, batches[-1])
    for inputs, images in zip(batches, found, strict=True):
        own = network(*inputs)
        if images.shape != own.shape or images.dtype != own.dtype:
            raise ConfigError(f"format={kind}: the file has images of another shape or type; it was not kept.")
        expected = network.generator(*inputs).float()
        difference = distance(images, expected, network.generator.pixel_range)
        if not is_random and not difference <= TOLERANCE * max(1.0, expected.abs().max().item()):
            raise ConfigError(
                f"format={kind}: the file's images differ from the generator's by {difference:.2g}; not kept."
            )
    if not is_random:
        return f"images within {TOLERANCE:g} of the generator's in {runtime}"
    if draws_numbers(network, batches[-1]) and not draws_numbers(call, batches[-1]):
        raise ConfigError(f"format={kind}: the generator draws random numbers, and the file does not; it was not kept.")
    return f"run in {runtime}; images not compared, as this generator draws random numbers beside its noise"


def draws_numbers(call: Call, inputs: tuple[Tensor, ...]) -> bool:
    """Whether a generator gives other images for the same inputs, as with trick=generator_noise."""
    return not torch.equal(call(*inputs), call(*inputs))


def distance(images: Tensor, expected: Tensor, pixel_range: PixelRange) -> float:
    """The largest difference from `expected`, in its unit; of uint8 images, from what they may be the rounding of."""
    if images.dtype != torch.uint8 or pixel_range is None:
        return (images - expected).abs().max().item()
    low, high = pixel_range
    levels = ((expected - low) * (255 / (high - low))).clamp(0, 255)
    return ((images - levels).abs().max().item() - 0.5) * (high - low) / 255
