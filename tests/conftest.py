"""What tests share: small runs built from the configuration as a user composes it."""

import copy
import functools
import itertools
import json
import os
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

from gan.config import check
from gan.data.image_shape import ImageShape
from gan.losses import Loss
from gan.training import build, checkpoint, loop
from gan.training.state import TrainingRun
from gan.tricks.base import TrickContext
from tests import forked
from tests.forked import ROOT

CONF = ROOT / "conf"
REAL_DATA = Path(os.environ.get("GAN_DATA", ROOT / "data"))  # where a user keeps downloaded sets

torch.set_num_threads(1)  # tests run side by side

# The same few cases every day, and thousands with --hypothesis-profile=thorough.
usual = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
hypothesis.settings.register_profile("everyday", max_examples=10, derandomize=True, **usual)
hypothesis.settings.register_profile("thorough", max_examples=1000, print_blob=True, **usual)
hypothesis.settings.load_profile("everyday")


def options(group: str) -> list[str]:
    """What the folder of a config group offers."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


NARROW = {  # the same networks, quicker; those of other models stay as they are
    "mlp": ["model.generator.hidden=[8,16]", "model.discriminator.hidden=[16,8]"],
    "dcgan": ["model.generator.width=4", "model.discriminator.width=4"],
    "conv": ["model.generator.channels=[8,6,4]", "model.discriminator.channels=[4,8]"],
    "maxout": ["model.generator.hidden=[16]", "model.discriminator.units=[8]"],
    "residual": ["model.generator.width=2", "model.discriminator.width=2"],
    "mlp_small": [],
}


def narrow(model: str) -> list[str]:
    """Overrides that make a model's networks small."""
    return NARROW.get(model, NARROW.get(model.split("_")[0], []))


def composed(*overrides: str) -> DictConfig:
    """What `compose` returns. The options chosen of the groups are composed once; each call overrides a copy of that."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    of_groups = [override.package is not None or (CONF / override.key_or_group).is_dir() for override in parsed]
    cfg = copy.deepcopy(compose_groups(*itertools.compress(overrides, of_groups)))
    values = [override for override, of_group in zip(parsed, of_groups, strict=True) if not of_group]
    ConfigLoaderImpl._apply_overrides_to_config(values, cfg)  # as Hydra does after composing
    return cfg


@functools.cache
def compose_groups(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def game(image: ImageShape, batch_size: int, loss: Loss | None = None, images_per_logit: int = 1) -> TrickContext:
    """What a trick is told before it says whether it makes sense."""
    settings = check.check_config(composed(f"train.batch_size={batch_size}"))
    return TrickContext(
        image, settings.train, settings.watch, loss, has_classes=False, images_per_logit=images_per_logit
    )


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws does not depend on the tests before it."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)  # which a run asks for


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Where the drawn digits are kept for the whole test session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small(cache):
    """Overrides that make any run one of seconds: a few images, a few steps, small networks."""
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
    """Run train.py, sample.py or a module as a user does. Returns its exit code and its output as text."""
    return forked.run


@pytest.fixture
def process():
    """The same in a new process: `process("train.py", "--help")`."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        line, variables = [sys.executable, *arguments], os.environ | environment
        return subprocess.run(line, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)

    return call


TINY = [
    "device=cpu",
    "dataset.count=640",
    "train.batch_size=16",
    "model.generator.hidden=[32]",
    "model.discriminator.hidden=[32]",
    "watch.samples=4",
]


@pytest.fixture
def train(program, cache):
    """`python train.py` on a few digits with small networks."""

    def call(*arguments: str, **environment: str) -> forked.Done:
        flags = [argument for argument in arguments if argument.startswith("-")]
        overrides = [argument for argument in arguments if not argument.startswith("-")]
        return program("train.py", *flags, *TINY, f"cache_dir={cache}", *overrides, **environment)

    return call


@pytest.fixture
def train_here(cache):
    """The same run in this process, which is quicker; without Hydra's folder."""

    def call(folder: Path, *overrides: str, resume: bool = False) -> None:
        cfg = composed(*TINY, f"cache_dir={cache}", *overrides)
        run = build.build_run(cfg, check.check_config(cfg), {"model": "mlp", "seed": 0})
        if resume:
            loop.resume(run, folder)
        loop.run(run, folder)

    return call


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All that the players of a run have learnt, and the average where there is one."""
    state = checkpoint.load(folder)
    return {
        f"{player}.{name}": tensor
        for player in ("generator", "discriminator", "ema")
        for name, tensor in (state[player] or {}).items()
    }


def same_weights(one: Path, other: Path) -> bool:
    """Whether two runs have come to the same bits."""
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def read_status(folder: Path) -> dict[str, Any]:
    """What a run says of itself; a file that is no JSON is an error here."""
    return json.loads((folder / "status.json").read_text())
