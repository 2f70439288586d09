"""The page: a template with the generator as ONNX, and the program that runs it, inside."""

import base64
import copy
import dataclasses
import gzip
import lzma
from pathlib import Path
from typing import Any

import jinja2
import torch
from torch import Tensor

import gan
from gan import sampling
from gan.config.errors import ConfigError, printable
from gan.config.schema import Sampling
from gan.data.image_shape import require_images
from gan.explorer.directions import principal_directions
from gan.explorer.planes import CELLS, LIMIT, draw_planes
from gan.export import ExportedGenerator, require_onnx, write_onnx
from gan.generator_file import ENDING
from gan.sample_files import check_truncation, find_class
from gan.system import files, randomness
from gan.training.build import TrainedRun, dataset_name

WEB = Path(__file__).parent / "web"
RUNTIME, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm.xz"  # of onnxruntime-web 1.29.0
MAX_BYTES = 15_000_000  # of the page: 5 MB, and 5 for each million weights
MAX_PLANES = MAX_BYTES - 1_000_000  # of the images in a page without the generator
MAX_SEEDS = 10_000
DIRECTIONS, POINTS = 8, 16  # sliders, and noise vectors that their directions are computed at


def write_page(run: TrainedRun, folder: Path, request: Sampling, device: torch.device) -> str:
    """Write the page about the generator of a run to `request.out`. Returns a clause that says what it has.

    Its seeds are the `n` from `seed` on; each shows the first image of that seed. Clusters are like classes there.
    Where the generator makes the page too large, it has images of as many seeds as it has room for.

    Args:
        folder: of the run, which may be a stranger's.

    Raises ConfigError where a package is missing, the network cannot be exported, or images are too large, too.
    """
    image = require_images(run.image, "format=explorer")
    require_onnx("explorer")
    check_truncation(run.noise, request)
    if request.n > MAX_SEEDS:
        raise ConfigError(f"n={request.n}: must be <= {MAX_SEEDS} for format=explorer, which has n seeds to choose.")
    noise, labels = draw_seeds(run, request, device)
    generator = copy.deepcopy(run.generator)
    generator.clusters = None  # they are chosen in the page, as classes are
    randomness.reseed(device, request.seed, "drawing")
    directions = principal_directions(generator, run.noise, noise[:POINTS], labels)[:DIRECTIONS]
    scene = {
        "image": [image.channels, image.size],
        "names": [printable(name) for name in run.image.class_names] if run.generator.class_count else [],
        "clusters": run.generator.clusters is not None,
        "seed": request.seed,
    }
    controls = {
        "labels": listed(labels),
        "kind": run.noise.kind,
        "dim": run.noise.dim,
        "range": generator.pixel_range,
        "classes": generator.class_count,
        "truncation": request.truncation,
        "count": len(noise),
        "noise": encode(noise),
        "directions": encode(directions),
    }
    exported = dataclasses.replace(run, generator=generator)
    parts = {
        "model": write_onnx(exported, ExportedGenerator(generator, "float")),
        "runtime": (WEB / RUNTIME).read_bytes(),
        "wasm": lzma.decompress((WEB / WASM).read_bytes()),
    }
    page = render(run, folder, "explorer", scene | controls, {name: pack(part) for name, part in parts.items()})
    content = "the generator"
    if len(page) > MAX_BYTES:
        size = len(page)
        if request.class_ is None and run.generator.clusters is None:  # the page has no choice of classes: all in turn
            labels = sampling.cycle_labels(generator.class_count, len(noise), device)
        planes = draw_planes(generator, run.noise, request.truncation * noise, labels, directions, MAX_PLANES)
        images = {"planes": planes, "labels": listed(labels), "cells": CELLS, "limit": LIMIT}
        page = render(run, folder, "planes", scene | images, {})
        seeds = f"{len(planes)} of {len(noise)} seeds"
        content = f"images of {seeds}, as it would have {size / 1e6:.0f} MB with the generator"
    with files.atomic_write(Path(str(request.out))) as file:
        file.write(page)
    return f"{len(page) / 1e6:.1f} MB with {content}"


def draw_seeds(run: TrainedRun, request: Sampling, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """The first noise of each seed (n, noise_dim), and the class or the cluster (n,) of its image."""
    generator, seeds = run.generator, range(request.seed, request.seed + request.n)
    noise = torch.cat([sampling.draw_noise(run.noise, 1, seed, "sample") for seed in seeds]).to(device)
    chosen = find_class(generator, run.image.class_names, request.class_)
    if generator.clusters is not None:
        return generator.clusters(noise)
    return noise, torch.full((len(noise),), chosen or 0, device=device) if generator.class_count else None


def listed(labels: Tensor | None) -> list[int] | None:
    return None if labels is None else labels.tolist()


def encode(values: Tensor) -> str:
    """Float32 values as base64."""
    return base64.b64encode(values.cpu().contiguous().numpy().astype("<f4").tobytes()).decode()


def pack(content: bytes) -> str:
    """Bytes as base64 of gzip, which every browser can undo; without a time, so that pages can be compared."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def render(run: TrainedRun, folder: Path, template: str, data: dict[str, Any], parts: dict[str, str]) -> bytes:
    """The page of a template, with the script of that name. What comes from the run is escaped, in `data` as JSON."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template(f"{template}.html.jinja").render(
        title=printable(folder.absolute().name.removesuffix(ENDING)),
        facts=[f"step {run.step}", printable(dataset_name(run.cfg)), f"version {gan.__version__}"],
        directions=min(DIRECTIONS, run.noise.dim),
        data=data,
        parts=parts,
        css=(WEB / "explorer.css").read_text("utf-8"),
        script=(WEB / f"{template}.js").read_text("utf-8"),
    )
    return page.encode()
