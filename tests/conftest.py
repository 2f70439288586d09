"""What tests share: small runs built from the configuration as a user composes it."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck

from gan import build, config, loop
from gan.losses import Loss
from gan.run import Run
from gan.shape import ImageShape
from gan.tricks import Game
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


def composed(*overrides: str):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def game(image: ImageShape, batch_size: int, loss: Loss | None = None, pictures_per_logit: int = 1) -> Game:
    """What a trick is told before it says whether it makes sense."""
    settings = config.check(composed(f"train.batch_size={batch_size}"))
    return Game(image, settings.train, loss, has_classes=False, pictures_per_logit=pictures_per_logit)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Where the drawn digits are kept for the whole test session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small(cache):
    """Overrides that make any run one of seconds: a few pictures, a few steps, small networks."""
    return [f"cache_dir={cache}", "device=cpu", "dataset.limit=64", "train.batch_size=8", "train.max_steps=10"]


@pytest.fixture
def make_run(small):
    def make(*overrides: str) -> Run:
        cfg = composed("dataset.count=640", *small, *overrides)
        return build.build(cfg, config.check(cfg), {})

    return make


@pytest.fixture
def program():
    """Run train.py, sample.py or a module as a user does. Returns its exit code and its output as text."""
    return forked.run


@pytest.fixture
def process():
    """The same in a new process: `process("train.py", "--help")`."""

    def call(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)

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
        loop.run(build.build(cfg, config.check(cfg), {"model": "mlp", "seed": 0}), folder, resume)

    return call
