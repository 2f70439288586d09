"""The model card of an exported generator: Markdown beside the file, about what it is and how to load it."""

import json
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan import __version__, generator_file
from gan.config.errors import ConfigError, printable, shell_words
from gan.config.schema import Sampling
from gan.metrics.catalogue import PROTOCOL, direction, metric_of, protocol_line
from gan.report.cells import Number, format_number
from gan.report.run_details import describe_data
from gan.report.runs import RunFolder, is_number, select_evaluations
from gan.system import files
from gan.system.escape import markdown
from gan.training.build import TrainedRun, check_stored

KINDS = {"onnx": "ONNX", "torchscript": "TorchScript", "safetensors": "safetensors: weights, without code"}
MAX_CLASSES = 200  # that are named
NOISE = {
    "normal": "from N(0, 1)",
    "uniform": "from U(-√3, √3)",
    "sphere": "uniform on the sphere of radius √{dim}",
}
NUMPY_NOISE = {
    "normal": 'noise = np.random.randn(16, {dim}).astype("float32")',
    "uniform": 'noise = np.random.uniform(-(3**0.5), 3**0.5, (16, {dim})).astype("float32")',
    "sphere": 'noise = np.random.randn(16, {dim}).astype("float32")\n'
    "noise *= {dim} ** 0.5 / np.linalg.norm(noise, axis=1, keepdims=True)",
}
LOADING = {  # by format; the noise comes before the last line
    "onnx": ("import onnxruntime", "session = onnxruntime.InferenceSession({path})"),
    "torchscript": ("import torch", "generator = torch.jit.load({path})"),
    "safetensors": (
        "import torch\nfrom gan.generator_file import load_generator",
        "generator = load_generator({path}{trust})",
    ),
}


def write_card(run: TrainedRun, folder: Path, request: Sampling, check: str, license: str = "unknown") -> Path:
    """Write the card of the generator in `request.out`, and return its path.

    Args:
        folder: of the run, from which scores, data and the command come; it may be a stranger's.
        check: how the file was checked, as `export_generator` returns it.
        license: of the weights.
    """
    out = Path(str(request.out))
    path = out.with_name(f"{out.name}.md")
    details = RunFolder(folder)
    typed = shell_words("python", "train.py", *details.typed) if details.has_command else ""
    settings = OmegaConf.to_yaml(OmegaConf.masked_copy(run.cfg, list(generator_file.GROUPS)))
    table = facts(run, request, check, license, details)
    parts = [
        f"---\nlicense: {license}\ntags: [gan]\n---",
        f"# Generator of {markdown(folder.absolute().name.removesuffix(generator_file.ENDING))}",
        f"The generator of a GAN, trained with Classic GANs (this file: version {__version__}).",
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in table)]),
        "## Load",
        fenced("python", loading_code(run, request, out.name)),
        "## Scores",
        scores(run, request, details),
        "## Training",
        *([fenced("bash", printable(typed))] if typed else ["The command was not recorded."]),
        "The settings that it stands for:",
        fenced("yaml", printable(settings, keep="\n")),
    ]
    with files.atomic_write(path) as file:
        file.write(("\n\n".join(parts) + "\n").encode())
    return path


def facts(run: TrainedRun, request: Sampling, check: str, license: str, details: RunFolder) -> list[tuple[str, str]]:
    """The rows of the first table, as Markdown."""
    generator, image, noise = run.generator, run.image, run.noise
    classes, names = generator.class_count, image.class_names
    values = "float32, points"
    if generator.pixel_range is not None:
        low, high = generator.pixel_range
        as_uint8 = request.output == "uint8" and request.format != "safetensors"
        values = "uint8, from 0 to 255" if as_uint8 else f"float32, from {low:g} to {high:g}"
    labels = f"; `labels` int64 (N,), from 0 to {classes - 1}" if classes else ""
    named = ", ".join(f"{index}: {name}" for index, name in enumerate(names[:MAX_CLASSES]))
    rows = [
        ("format", KINDS[str(request.format)]),
        ("input", f"`noise` float32 (N, {noise.dim}), {NOISE[noise.kind].format(dim=noise.dim)}{labels}"),
        ("output", f"`images` {values}, (N, {', '.join(map(str, image.dims))})"),
        ("weights", f"{describe_weights(run)}, after {markdown(run.step)} steps; eval mode"),
        ("data", markdown(describe_data(details) or "not recorded")),
        ("check", check),
        ("license", f"{license}, of these weights; not known here, of the training images; MIT, of the code"),
    ]
    more = ", ..." if len(names) > MAX_CLASSES else ""
    return rows[:3] + ([("classes", markdown(named) + more)] if classes and names else []) + rows[3:]


def describe_weights(run: TrainedRun) -> str:
    """Whether the generator has the EMA of its weights; of a file that does not say so, whether the run had one."""
    ema, train = run.ema, run.cfg.get("train")
    if ema is None:
        ema = isinstance(train, DictConfig) and train.get("ema_decay") is not None
    if isinstance(ema, bool):
        return "EMA" if ema else "without EMA"
    return f"EMA of decay {ema:g}"


def loading_code(run: TrainedRun, request: Sampling, name: str) -> str:
    """Python that loads the file and generates 16 images."""
    classes, kind = run.generator.class_count, str(request.format)
    imports, load = LOADING[kind]
    labels = f"np.arange(16) % {classes}"
    if kind == "onnx":
        inputs = '{"noise": noise' + (f', "labels": {labels}' if classes else "") + "}"
        call = f"images = session.run(None, {inputs})[0]"
    else:
        call = f"images = generator(torch.from_numpy(noise){f', torch.from_numpy({labels})' if classes else ''})"
    noise = NUMPY_NOISE[run.noise.kind].format(dim=run.noise.dim)
    load = load.format(path=json.dumps(printable(name)), trust=", trust=True" if needs_trust(run) else "")
    return "\n".join(["import numpy as np", imports, "", load, noise, call])


def needs_trust(run: TrainedRun) -> bool:
    """Whether the generator is the user's own code."""
    try:
        check_stored(run.cfg)
    except ConfigError:
        return True
    return False


def scores(run: TrainedRun, request: Sampling, details: RunFolder) -> str:
    """A table for each protocol by which this very generator was scored, as Markdown."""
    evaluations = [
        (row, {name: number for name, number in row["scores"].items() if isinstance(number, dict)})
        for row in select_evaluations(details.read(files.read_json, "scores.json"))
        if row.get("checkpoint") == request.checkpoint and repr(row.get("ema")) == repr(request.ema)
    ]
    during = [(row, {name: {"mean": value} for name, value in row.items()}) for row in details.training_scores]
    tables = []
    for row, numbers in [*evaluations, *(during if request.ema is True else [])]:
        cells = [
            f"| {markdown(name)} | {direction(name) or '-'} | {format_score(number)} |"
            for name, number in numbers.items()
            if metric_of(name) and is_number(number.get("mean"))
        ]
        if row.get("step") == run.step and cells:
            table = "\n".join(["| metric | better | score |", "|---|---|---|", *cells])
            tables.append(
                f"By {markdown(protocol_line({name: row[name] for name in PROTOCOL if name in row}))}:\n\n{table}"
            )
    return "\n\n".join(dict.fromkeys(tables)) or "None were recorded for this step."


def format_score(number: dict[str, Any]) -> str:
    """A mean, and its standard deviation over sampling seeds if it is one of several."""
    spread = number.get("spread")
    return str(Number(number["mean"], spread)) if is_number(spread) else format_number(number["mean"])


def fenced(language: str, text: str) -> str:
    """A fenced block, whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.strip()}\n{fence}"
