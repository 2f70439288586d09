"""Nodes with a `_target_`: which code may be named, by whom, and with which arguments."""

import importlib
import os
import sys

import pytest
import torch
from hydra import compose, initialize_config_dir

from gan.cli.overrides import parse_settings
from gan.config import check, targets
from gan.config.errors import ConfigError
from gan.training import build
from tests.conftest import CONF, composed

OWN = """
import torch
from torch import nn

print("imported")


class G(nn.Module):
    pixel_range = (-1.0, 1.0)

    def __init__(self, image, noise_dim, *, hidden: int = 64, **more):
        super().__init__()
        self.size = (image.channels, image.size, image.size)
        self.layers = nn.Sequential(
            nn.Linear(noise_dim, hidden), nn.ReLU(), nn.Linear(hidden, image.pixels), nn.Tanh()
        )

    def forward(self, noise, labels=None):
        return self.layers(noise).unflatten(1, self.size)


class D(nn.Module):
    def __init__(self, image, width=64):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(image.pixels, width), nn.LeakyReLU(0.2))
        self.logit = nn.Linear(width, 1)

    def forward(self, images, labels=None):
        return self.logit(self.features(images)).flatten()


class NoImage(nn.Module):
    def __init__(self):
        super().__init__()


def lion(params, *, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=lr, fused=True)


def points(data_dir, cache_dir, split, count=5):
    return None
"""
PAIR = ["model.generator._target_=own_gan.G", "model.discriminator._target_=own_gan.D"]


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """A user's module on PYTHONPATH."""
    (tmp_path / "own_gan.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_gan", None)


def checked(*overrides, cfg=None):
    """The configuration that a new run with these overrides has, after the check."""
    cfg = cfg or composed(*overrides)
    targets.drop_replaced_arguments(cfg, parse_settings(list(overrides)))
    check.check_config(cfg)
    return cfg


def test_a_users_own_networks_pass_the_check(own_module):
    cfg = checked(*PAIR)
    assert dict(cfg.model.generator) == {"_target_": "own_gan.G"}
    assert dict(cfg.model.discriminator) == {"_target_": "own_gan.D"}


def test_a_users_own_networks_get_the_arguments_that_are_typed(own_module):
    cfg = checked(*PAIR, "model.generator.hidden=8", "+model.generator.norm2=batch", "+model.discriminator.width=4")
    assert dict(cfg.model.generator) == {"_target_": "own_gan.G", "hidden": 8, "norm2": "batch"}
    assert dict(cfg.model.discriminator) == {"_target_": "own_gan.D", "width": 4}


def test_an_own_optimizer_keeps_what_it_takes_and_the_other_player_keeps_its_values(own_module):
    cfg = checked("optim.generator._target_=own_gan.lion", "optim.generator.lr=0.1")
    assert dict(cfg.optim.generator) == {"_target_": "own_gan.lion", "lr": 0.1, "weight_decay": 0.0}
    assert cfg.optim.discriminator.betas == [0.5, 0.999] and cfg.optim.discriminator.lr == 0.1


def test_an_own_dataset_and_a_replaced_loss_keep_what_they_take(own_module):
    cfg = checked("dataset._target_=own_gan.points", "loss._target_=gan.losses.Hinge")
    assert dict(cfg.dataset) == {"_target_": "own_gan.points", "count": composed().dataset.count}
    assert dict(cfg.loss) == {"_target_": "gan.losses.Hinge", "terms": "sum", "label_flip_probability": 0.0}


def test_a_target_may_come_from_the_users_own_yaml(own_module, tmp_path):
    (tmp_path / "model").mkdir()
    pair = "generator: {_target_: own_gan.G, hidden: 8}\ndiscriminator: {_target_: own_gan.D}\n"
    (tmp_path / "model" / "mine.yaml").write_text(pair)
    overrides = ["model=mine", f"hydra.searchpath=[{tmp_path}]"]  # which --config-dir adds to
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    checked(cfg=cfg)


NOT_ALLOWED = [
    (["model.generator._target_=own_gan.lion"], "model.generator._target_=own_gan.lion"),
    (["model.generator._target_=os.system"], "model.generator._target_=os.system"),
    (["model.generator._target_=gan.cli.messages.os.system"], "model.generator._target_=gan.cli.messages.os.system"),
    (["model.generator._target_=gan.models.mlp.Nothing"], "model.generator._target_=gan.models.mlp.Nothing"),
    (["model.generator._target_=nowhere.G"], "model.generator._target_=nowhere.G"),
    (["model.generator._target_='gan.models.mlp:Generator'"], "model.generator._target_=gan.models.mlp:Generator"),
    (["model.generator._target_="], "model.generator._target_="),
    (["model.generator._target_=null"], "model.generator._target_="),
    (["model.discriminator._target_=own_gan.NoImage"], "model.discriminator: own_gan.NoImage"),
    (["~model.discriminator._target_"], "model.discriminator._target_"),
    (["~optim.generator._target_"], "optim.generator._target_"),
    ([PAIR[0], "model.generator.hidden=wide"], "model.generator.hidden=wide"),
    ([PAIR[1], "model.discriminator.norm=batch"], "model.discriminator.norm"),
    (["+model.generator.image=5"], "model.generator.image"),
    (["+model.generator._args_=[5]"], "model.generator._args_"),
    ([PAIR[0], "+model.generator._args_=[5]"], "model.generator._args_"),
    (["model.generator.activation={_target_: torch.nn.Nothing}"], "model.generator.activation._target_=torch.nn.Nothing"),
    (["model.generator.activation={_target_: os.getcwd}"], "model.generator.activation._target_=os.getcwd"),
    (["model.discriminator.activation={_target_: torch.nn.Bilinear}"], "model.discriminator.activation: torch.nn.Bilinear"),
    (["optim.generator={_target_: os.system}"], "optim.generator._target_=os.system"),
    (["loss={_target_: os.system}"], "loss._target_=os.system"),
    (["dataset={_target_: os.system}"], "dataset: os.system"),
    (["+trick.x={_target_: gan.losses.Hinge, terms: sum}"], "trick.x._target_=gan.losses.Hinge"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "setting"), NOT_ALLOWED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_target_that_cannot_be_built_is_named_in_one_sentence(own_module, overrides, setting):
    with pytest.raises(ConfigError) as caught:
        checked(*overrides)
    message = str(caught.value)
    assert message.startswith(setting) and "\n" not in message and message.endswith(".")


STRANGERS = [
    "own_gan.G",
    "os.system",
    "gan.losses.torch.load",
    "gan.system.files.write_json",
    "gan.models.layers.copy.copy",
]
PLACES = [
    "model.generator._target_={}",
    "model.generator.activation={{_target_: {}}}",
    "model.discriminator.hidden=[{{_target_: {}}}]",
    "optim.generator._target_={}",
    "loss._target_={}",
    "dataset._target_={}",
    "+trick.x._target_={}",
]


@pytest.mark.parametrize("target", STRANGERS)
@pytest.mark.parametrize("place", PLACES)
def test_what_a_run_folder_names_is_not_imported(own_module, capsys, target, place):
    override = place.format(target)
    cfg = composed(override, "resume=RUN", "trust=[]")
    targets.drop_replaced_arguments(cfg, parse_settings([override]))
    with pytest.raises(ConfigError, match=target.replace(".", r"\.")):
        check.check_config(cfg)
    assert "own_gan" not in sys.modules and "imported" not in capsys.readouterr().out


def test_a_resumed_run_imports_what_is_trusted_or_typed_again(own_module):
    for trust in ("trust=true", "trust=[own_gan.G,own_gan.D]"):
        checked(*PAIR, cfg=composed(*PAIR, "resume=RUN", trust))
    with pytest.raises(ConfigError, match=r"model\.discriminator\._target_=own_gan\.D.*trust=true"):
        checked(*PAIR, cfg=composed(*PAIR, "resume=RUN", "trust=[own_gan.G]"))


DERIVED = """
from gan.models import mlp


class G(mlp.Generator):
    def __init__(self, image, noise_dim, *, hidden: list[int]):
        fixed = {"activation": "relu", "norm": "none", "dropout": 0.0, "output": "tanh"}
        super().__init__(
            image, noise_dim, hidden=hidden, **fixed, output_bias="default", init="default", init_scale=0.02
        )
"""


def test_a_run_of_an_own_network_is_resumed_and_sampled_from_with_trust_only(train, program, tmp_path, monkeypatch):
    (tmp_path / "derived.py").write_text(DERIVED)
    monkeypatch.syspath_prepend(tmp_path)
    run, typed = tmp_path / "run", "model.generator._target_=derived.G"
    first = train(typed, "train.max_steps=1", f"hydra.run.dir={run}")
    assert first.returncode == 0, first.stderr
    assert [line.endswith(" trust=true") for line in first.stdout.splitlines() if "sample.py" in line] == [True]
    sample = ("sample.py", f"run={run}", f"out={tmp_path / 'samples.png'}")
    for line in (
        ("train.py", f"resume={run}", "train.max_steps=2"),
        sample,
        ("gan.evaluate", f"run={run}", "n=100"),
    ):
        done = program(*line)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert typed in done.stderr and "trust=true" in done.stderr
    for line in (
        ("train.py", f"resume={run}", "train.max_steps=2", typed),
        ("train.py", f"resume={run}", "train.max_steps=3", "trust=true"),
        (*sample, "trust=true"),
    ):
        done = program(*line)
        assert done.returncode == 0, done.stderr


def test_train_does_not_import_what_a_run_folder_names(program, train, tmp_path, monkeypatch):
    """By way of the whole program, for an override of a setting and one of Hydra's own."""
    monkeypatch.syspath_prepend(tmp_path)
    run, owned = tmp_path / "run", tmp_path / "owned"
    (tmp_path / "stranger.py").write_text(f"open({str(owned)!r}, 'w')")
    first = train("train.max_steps=1", f"hydra.run.dir={run}")
    assert first.returncode == 0 and "trust" not in first.stdout
    saved = (run / ".hydra" / "overrides.yaml").read_text()
    callback = f"{{_target_: os.open, path: {owned}, flags: 64}}"
    (run / "evil.yaml").write_text(f"# @package _global_\ntrust: true\nhydra: {{callbacks: {{x: {callback}}}}}\n")
    for override, words in (
        ("model.generator._target_=stranger.G", ["model.generator._target_=stranger.G", "trust=true"]),
        (f"+hydra.callbacks.x={{_target_: os.open, path: {owned}, flags: 64}}", ["hydra.callbacks.x"]),
        (f"experiment={os.path.relpath(run, CONF / 'experiment')}/evil", ["experiment=", "evil"]),
    ):
        (run / ".hydra" / "overrides.yaml").write_text(saved + f"- '{override}'\n")
        done = program("train.py", f"resume={run}")
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and not owned.exists()
        assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("target", ["os.system", "gan.cli.messages.os.system", "subprocess.getoutput", "own_gan.G"])
def test_what_a_checkpoint_names_is_not_imported(own_module, train_here, tmp_path, target):
    train_here(tmp_path, "train.max_steps=1")
    state = torch.load(tmp_path / "checkpoints" / "last.pt", weights_only=True)
    state["config"] = state["config"].replace("gan.models.mlp.Generator", target)
    torch.save(state, tmp_path / "checkpoints" / "last.pt")
    with pytest.raises(ConfigError, match=rf"model\.generator\._target_={target}.*trust=true"):
        build.load_trained(tmp_path, "last", True, torch.device("cpu"))
    assert "own_gan" not in sys.modules


@pytest.mark.parametrize("statement", ["import missing_package", "from math import missing_name", "1 / 0"])
@pytest.mark.parametrize("name", ["own_package", "own_package.nets"])
def test_an_error_in_a_users_module_is_shown_with_its_cause(tmp_path, monkeypatch, statement, name):
    """Also in a module of a package, where Python's own look-up says that the package has no such name."""
    (tmp_path / "own_package").mkdir()
    for module in ("__init__", "nets"):
        is_broken = (module == "nets") == (name == "own_package.nets")
        (tmp_path / "own_package" / f"{module}.py").write_text(statement if is_broken else "")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(ConfigError) as caught:
            targets.import_target("model.generator", f"{name}.G", trust=True)
    finally:
        for module in ("own_package", "own_package.nets"):
            sys.modules.pop(module, None)
    cause = {"import missing_package": "missing_package", "1 / 0": "division by zero"}.get(statement, "missing_name")
    assert all(words in str(caught.value) for words in ("model.generator._target_", name, cause))


def test_too_little_memory_for_a_users_module_is_no_wrong_setting(own_module, monkeypatch):
    def fail(_name):
        raise MemoryError

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MemoryError):
        targets.import_target("model.generator", "own_gan.G", trust=True)
