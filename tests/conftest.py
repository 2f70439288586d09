"""Shared by all tests: small runs, built from configurations as a user composes them."""

import copy
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck
from omegaconf import DictConfig
from torch import nn

from gan.cli.overrides import with_steps_alone
from gan.config import check
from gan.data.image_shape import ImageShape
from gan.losses import Hinge, Loss
from gan.models.base import Discriminator, Generator
from gan.training import build, checkpoint, loop
from gan.training.resume import resume as resume_run
from gan.training.state import TrainingRun
from gan.tricks.base import TrickContext, Tricks
from gan.tricks.minibatch import Packing
from tests import forked
from tests.forked import ROOT

CONF = ROOT / "conf"
REAL_DATA = Path(os.environ.get("GAN_DATA", ROOT / "data"))  # downloaded datasets

torch.set_num_threads(1)  # tests run side by side
# autograd starts here, since after its first use behind torch.onnx.export no child of this process could train
torch.ones((), requires_grad=True).backward()

# The same few cases in every run, and thousands with --hypothesis-profile=thorough.
common = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
hypothesis.settings.register_profile("everyday", max_examples=10, derandomize=True, **common)
hypothesis.settings.register_profile("thorough", max_examples=1000, print_blob=True, **common)
hypothesis.settings.load_profile("everyday")

if hasattr(signal, "SIGHUP"):  # under nohup it is ignored, also in the programs that tests start
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def options(group: str) -> list[str]:
    """The options of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


POINT_MODELS = ["linear", "points"]
IMAGE_MODELS = [model for model in options("model") if model not in POINT_MODELS]
POINT_SETS = [name for name in options("dataset") if "point_sets" in (CONF / "dataset" / f"{name}.yaml").read_text()]

NARROW = {  # overrides for smaller networks; other models stay as they are
    "mlp": ["model.generator.hidden=[8,16]", "model.discriminator.hidden=[16,8]"],
    "dcgan": ["model.generator.width=4", "model.discriminator.width=4"],
    "conv": ["model.generator.channels=[8,6,4]", "model.discriminator.channels=[4,8]"],
    "maxout": ["model.generator.hidden=[16]", "model.discriminator.units=[8]"],
    "residual": ["model.generator.width=2", "model.discriminator.width=2"],
    "mlp_small": [],
    "points": ["model.generator.hidden=[8]", "model.discriminator.hidden=[8]"],
}


def narrow(model: str) -> list[str]:
    """Overrides that make a model's networks smaller."""
    return NARROW.get(model, NARROW.get(model.split("_")[0], []))


def composed(*overrides: str) -> DictConfig:
    """What `compose` returns, with model=mlp, which is quick, unless a model or an experiment is chosen.

    Each choice of options is composed once; the other overrides are applied to a copy. trick=clusters has few of them,
    since runs have few images.
    """
    if not any(override.startswith(("model=", "experiment=")) for override in overrides):
        overrides = ("model=mlp", *overrides)
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    of_groups = [
        override.package is not None or name.startswith("hydra") or (CONF / name).is_dir()
        for override in parsed
        for name in [override.key_or_group]
    ]
    cfg = copy.deepcopy(compose_groups(*itertools.compress(overrides, of_groups)))
    if "clusters" in cfg.trick:
        cfg.trick.clusters.count = 8
    values = [override for override, of_group in zip(parsed, of_groups, strict=True) if not of_group]
    ConfigLoaderImpl._apply_overrides_to_config(values, cfg)  # as Hydra does after composing
    return cfg


@functools.cache
def compose_groups(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def trick_context(
    image: ImageShape, batch_size: int, loss: Loss | None = None, images_per_logit: int = 1
) -> TrickContext:
    """A run for `Trick.check`, with small networks."""
    settings = check.check_config(composed(f"train.batch_size={batch_size}"))
    tricks = Tricks([Packing(images=images_per_logit)] if images_per_logit > 1 else [])
    generator = Generator(nn.Linear(2, image.pixels))
    discriminator = Discriminator(nn.Flatten(), nn.Linear(image.pixels, 1))
    return TrickContext(image, settings.train, settings.watch, loss or Hinge(), tricks, generator, discriminator)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test's random numbers do not depend on the tests before it."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)  # a run sets it


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """The cache of drawn digits, for the whole test session and both of its processes."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    folder = tmp_path_factory.getbasetemp().parent / "cache" if is_worker else tmp_path_factory.mktemp("cache")
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def small(cache):
    """Overrides that make any run take seconds: few images, small batches, few steps."""
    few = ["dataset.count=640", "dataset.limit=64", "train.batch_size=8", "train.max_steps=10"]
    return [f"cache_dir={cache}", "device=cpu", *few]


@pytest.fixture
def make_run(small):
    def make(*overrides: str) -> TrainingRun:
        cfg = composed(*small, *overrides)
        return build.build_run(cfg, check.check_config(cfg), {})

    return make


@pytest.fixture
def program():
    """Run train.py, sample.py or a module as a user does. Returns its exit code and its output."""
    return forked.run


@pytest.fixture
def process():
    """`program` in a new Python process: `process("train.py", "--help")`."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        line, variables = [sys.executable, *arguments], os.environ | environment
        return subprocess.run(line, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)

    return call


TINY = [
    "device=cpu",
    "dataset.count=640",
    "train.batch_size=16",
    "model=mlp",
    "model.generator.hidden=[32]",
    "model.discriminator.hidden=[32]",
    "watch.samples=4",
]


@pytest.fixture
def train(program, cache):
    """`python train.py` on a few digits with small networks."""

    def call(*arguments: str, **environment: str) -> forked.CompletedProgram:
        flags = [argument for argument in arguments if argument.startswith("-")]
        overrides = [argument for argument in arguments if not argument.startswith("-")]
        return program("train.py", *flags, *TINY, f"cache_dir={cache}", *overrides, **environment)

    return call


@pytest.fixture
def train_here(cache):
    """`train` in this process, which is faster and writes no .hydra folder."""

    def call(folder: Path, *overrides: str, resume: bool = False) -> None:
        cfg = composed(*TINY, f"cache_dir={cache}", *with_steps_alone(list(overrides)))
        run = build.build_run(cfg, check.check_config(cfg), {"model": "mlp", "seed": 0})
        if resume:
            resume_run(run, folder)
        loop.train(run, folder)

    return call


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a run's generator, discriminator and EMA."""
    state = checkpoint.load(folder)
    return {
        f"{player}.{name}": tensor
        for player in ("generator", "discriminator", "ema")
        for name, tensor in (state[player] or {}).items()
    }


def same_weights(one: Path, other: Path) -> bool:
    """Whether the weights of two runs are equal to the bit."""
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def read_status(folder: Path) -> dict[str, Any]:
    """A run's status.json; unlike `status.read`, this raises an error if the file is damaged."""
    return json.loads((folder / "status.json").read_text())
