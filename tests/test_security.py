"""A run folder from a stranger: which code, secrets, files and links it cannot use. docs/security.md has the threat model.

More about code is in config/test_targets.py, about reports in report/test_strangers.py, about images in
system/test_images.py.
"""

import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from gan.cli import overrides
from gan.config import check, targets
from gan.config.errors import ConfigError
from gan.system import files, locks
from gan.training import build, checkpoint
from tests import forked, fuzz_configs
from tests.conftest import TINY, composed
from tests.fuzz_configs import Violation, fuzz

CPU = torch.device("cpu")
FEW = [*TINY, "train.max_steps=2", "threads=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    """A small run as train.py leaves it."""
    folder = tmp_path_factory.mktemp("trained")
    outcome = forked.run("train.py", *FEW, f"cache_dir={cache}", "hydra.run.dir=run", folder=folder)
    assert outcome.returncode == 0, outcome.stderr
    (folder / "run" / "generated").mkdir()
    return folder / "run"


@pytest.fixture
def prepared(trained, tmp_path):
    """A copy of that run, for a stranger to change."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change_config(run: Path, text: str) -> None:
    """Put another configuration into the checkpoint of a run."""
    state = torch.load(checkpoint.path_in(run), weights_only=True)
    torch.save(state | {"config": text}, checkpoint.path_in(run))


# Code


@pytest.mark.parametrize("name", ["args", "kwargs", "anything"])
@pytest.mark.parametrize("place", ["model.generator.activation", "model.discriminator.activation"])
def test_a_layer_that_takes_anything_takes_no_names_from_a_configuration(name, place):
    """torch.nn.Identity(*args, **kwargs) would build whatever stands in them."""
    inner = "[{_target_: sympy.sympify, a: 'print(1)'}]"
    cfg = composed(f"{place}={{_target_: torch.nn.Identity, {name}: {inner}}}", "resume=RUN")
    with pytest.raises(ConfigError, match=rf"{place}\.{name}|sympy"):
        check.check_config(cfg)
    with pytest.raises(ConfigError, match=rf"{place}\.{name}"):
        check.check_config(composed(f"{place}={{_target_: torch.nn.Identity, {name}: 1}}", "resume=RUN"))


@pytest.mark.parametrize(
    "target", ["torch.nn.modules.activation.ReLU", "gan.models.mlp.nn.ReLU", "gan.models.mlp.__builtins__", "torch.nn"]
)
def test_a_run_folder_names_a_class_by_its_own_name_only(target):
    with pytest.raises(ConfigError, match=r"activation\._target_"):
        check.check_config(composed(f"model.generator.activation={{_target_: {target}}}", "resume=RUN"))


@pytest.mark.parametrize(
    "override", ["+dataset._partial_=x", "+loss._partial_=true", "+model.generator._partial_=true"]
)
def test_what_is_built_itself_cannot_be_partial(override):
    with pytest.raises(ConfigError, match=r"_partial_"):
        check.check_config(composed(override))


@pytest.mark.parametrize(
    "setting",
    [
        "model.generator.dropout",
        "model.discriminator.init_scale",
        "loss.terms",
        "dataset.image_size",
        "optim.generator.lr",
    ],
)
def test_nothing_is_built_where_a_plain_value_belongs(setting):
    with pytest.raises(ConfigError, match=re.escape(setting)):
        check.check_config(composed(f"{setting}={{_target_: torch.nn.ReLU}}"))
    check.check_config(composed("model.generator.activation={_target_: torch.nn.ReLU}"))


# Secrets of this machine


READING = [
    "${oc.env:FUZZ_SECRET}",
    "'${oc.env:FUZZ_SECRET}'",
    "$\\{oc.env:FUZZ_SECRET\\}",  # Hydra removes the backslashes
    "a/$\\{oc.env:FUZZ_SECRET\\}",
    "{a: [x, '${oc.decode:${oc.env:FUZZ_SECRET}}']}",
    "${now:%Y}",
]


@pytest.mark.parametrize("value", READING)
def test_a_run_folder_cannot_read_the_environment_into_a_resumed_run(prepared, value):
    line = f"dataset.path={value}"
    (prepared / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["seed=${noise.dim}", line]))
    with pytest.raises(ConfigError, match=r"overrides\.yaml has dataset\.path"):
        overrides.parse_arguments([f"resume={prepared}"])
    typed = overrides.parse_arguments([f"resume={prepared}", "dataset.path=mine"])
    assert "seed=${noise.dim}" in typed and line not in typed


@pytest.mark.parametrize("value", ["${oc.env:FUZZ_SECRET,x}", "${seed}", '"\\x24{oc.env:FUZZ_SECRET,x}"'])
def test_a_checkpoint_has_no_references(prepared, value):
    text = torch.load(checkpoint.path_in(prepared), weights_only=True)["config"]
    changed = text.replace("kind: normal", f"kind: {value}")
    assert changed != text
    change_config(prepared, changed)
    with pytest.raises(ConfigError, match="does not fit"):
        build.load_trained(prepared, "last", True, CPU)
    with pytest.raises(ValueError):
        checkpoint.check_same_settings(changed, text)


def test_a_name_that_is_not_utf8_is_kept_by_a_checkpoint():
    text = OmegaConf.to_yaml(OmegaConf.create({"path": os.fsdecode(b"\xfc.png"), "f": 1e-5, "s": "1e-3", "y": "yes"}))
    assert checkpoint.parse_config(text) == {"path": "\udcfc.png", "f": 1e-5, "s": "1e-3", "y": "yes"}


# Files larger than they look

BOMB = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]" for p, n in zip("abcdefgh", "bcdefghi", strict=True))])  # fmt: skip
TOO_MUCH = {
    "aliases": BOMB,
    "one alias": "- &a x\n- *a\n",
    "depth": "[" * 100_000,
    "brackets": "[" * 200 + "]" * 200,
    "length": "- x\n" * 300_000,
    "values": "[" + "1," * 200_000 + "]",
    "base sixty": "- " + ":".join(["59"] * 200_000),
    "a tag that does not fit": "!!int ''",
    "another": "!!timestamp x",
    "no yaml": "{",
}


@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_yaml_of_a_run_folder_is_read_within_bounds(prepared, text):
    with pytest.raises(ValueError):
        files.parse_yaml(text)
    change_config(prepared, text)
    with pytest.raises(ConfigError, match="does not fit"):
        build.load_trained(prepared, "last", True, CPU)
    (prepared / ".hydra" / "overrides.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"overrides\.yaml"):
        overrides.parse_arguments([f"resume={prepared}"])


def compress(path: Path) -> None:
    """Write a zip again with its parts compressed."""
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_a_compressed_checkpoint_is_not_expanded(prepared, monkeypatch):
    """torch stores the parts as they are; a few kilobytes could stand for gigabytes."""
    path = checkpoint.path_in(prepared)
    assert checkpoint.read(path)
    compress(path)
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_: pytest.fail("it was expanded"))
    assert checkpoint.read(path) is None


def test_the_parts_of_a_checkpoint_cannot_share_their_bytes(prepared):
    path = checkpoint.path_in(prepared)
    with zipfile.ZipFile(path, "a") as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
        archive.filelist += [largest] * 100
        archive._didModify = True
    with zipfile.ZipFile(path) as archive:
        assert sum(part.file_size for part in archive.infolist()) > path.stat().st_size
    assert checkpoint.read(path) is None


def test_a_pipe_as_checkpoint_is_no_checkpoint(prepared):
    checkpoint.path_in(prepared).unlink()
    os.mkfifo(checkpoint.path_in(prepared))
    assert checkpoint.read(checkpoint.path_in(prepared)) is None


@pytest.mark.parametrize("name", [".room", "train.log"])
def test_a_pipe_does_not_hold_up_a_run(prepared, train, name):
    (prepared / name).unlink(missing_ok=True)
    os.mkfifo(prepared / name)
    done = train(f"resume={prepared}", "train.max_steps=3")
    assert done.is_clean_exit() and (done.returncode == 0 or name in done.stderr), done


# Links

NAMES = [
    *(".room", ".lock", "train.log", "status.json", "metrics.jsonl", "scores.jsonl", "scores.json", "final.png"),
    *("samples.gif", "events.out.tfevents.0", ".hydra", ".hydra/config.yaml", ".hydra/overrides.yaml", "samples"),
    *("samples/step_0000000.png", "checkpoints", "checkpoints/last.pt", "checkpoints/previous.pt", "generated", "figures"),
    *("figures/losses.png", "generated/grid_seed0_n4.png", "generated/deep/er"),
]  # fmt: skip


def move_out(run: Path, name: str) -> Path:
    """Move a file or folder of a run out of it, and leave a link there. Returns the folder that it is in now."""
    outside, path = run.parent / "outside", run / name
    outside.mkdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rename(outside / path.name)
    else:
        (outside / path.name).write_text("private")
    path.symlink_to(outside / path.name)
    return outside


@pytest.mark.parametrize("name", NAMES)
def test_a_run_with_a_link_that_leaves_it_is_neither_resumed_nor_read(prepared, name):
    outside = move_out(prepared, name)
    before = contents(outside)
    with pytest.raises(ConfigError, match="outside the run folder") as caught:
        overrides.parse_arguments([f"resume={prepared}"])
    assert str(prepared / name) in str(caught.value)
    with pytest.raises(ConfigError, match="outside the run folder"):
        build.load_trained(prepared, "last", True, CPU)
    assert contents(outside) == before


def leaving(run: Path) -> dict[str, Path]:
    """Links that leave a run in other ways: dangling, by way of another link or of .., to its parent, to the root."""
    (run / "inside").symlink_to("samples")
    return {
        "dangling": run.parent / "nothing",
        "chain": Path("second"),
        "dots": Path("inside/../../outside"),
        "parent": Path(".."),
        "root": Path("/"),
        "similar name": run.parent / "run2",
    }


@pytest.mark.parametrize("kind", ["dangling", "chain", "dots", "parent", "root", "similar name"])
def test_every_way_out_of_a_run_is_found(prepared, kind):
    (prepared / "link").symlink_to(leaving(prepared)[kind])
    (prepared / "second").symlink_to(prepared.parent / "nothing" if kind == "chain" else "samples")
    with pytest.raises(ConfigError, match="outside the run folder"):
        files.check_links(prepared)


def test_links_within_a_run_and_to_a_run_are_followed(prepared, tmp_path):
    (prepared / "checkpoints").rename(prepared / "elsewhere")
    (prepared / "checkpoints").symlink_to("elsewhere")
    (prepared / "again").symlink_to(prepared)
    (prepared / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(prepared)
    files.check_links(tmp_path / "link")
    assert build.load_trained(tmp_path / "link", "last", True, CPU).step == 2


@pytest.mark.parametrize("name", [".room", ".lock", "train.log", "samples", "status.json"])
def test_a_new_run_does_not_write_through_a_link(train, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "owned")
    done = train("train.max_steps=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 1 and done.is_clean_exit() and str(tmp_path / "owned") in done.stderr, done
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["multirun.yaml", "seed-0/.lock", "seed-0/train.log", "seed-0/figures"])
def test_a_sweep_does_not_write_through_a_link(train, tmp_path, name):
    path = tmp_path / "sweep" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "owned")
    done = train("-m", "seed=0,1", "train.max_steps=1", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert done.returncode == 1 and str(tmp_path / "owned") in done.stderr, done
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "line", [("sample.py", "n=4"), ("gan.evaluate", "n=100"), ("train.py",)], ids=lambda line: line[0]
)
def test_no_program_writes_through_a_link_of_a_run(program, prepared, line):
    outside = move_out(prepared, "generated")
    done = program(line[0], f"{'resume' if line[0] == 'train.py' else 'run'}={prepared}", *line[1:])
    assert done.returncode == 1 and done.is_clean_exit() and str(prepared / "generated") in done.stderr, done
    assert contents(outside) == {}


def test_a_temporary_file_is_not_written_through_a_link(tmp_path):
    (tmp_path / f".status.json.{os.getpid()}@{locks.HOST}.part").symlink_to(tmp_path / "owned")
    files.write_json(tmp_path / "status.json", {})
    assert not (tmp_path / "owned").exists() and (tmp_path / "status.json").is_file()


# The terminal


def test_a_terminal_gets_no_control_characters(prepared, process):
    (prepared / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["watch.film_fps=a\x1b[2Jb\r\nc\u202e"]))
    done = process("train.py", f"resume={prepared}")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.strip("\n").isprintable()


# Stored configurations, at random


def test_random_stored_configurations_do_nothing_they_should_not():
    assert sum(fuzz(100, 0).outcomes.values()) == 100


@pytest.mark.slow
def test_a_thousand_random_stored_configurations_do_nothing_they_should_not():
    """20,000 are run by `python -m tests.fuzz_configs`."""
    done = fuzz(1000, 1)
    assert sum(done.outcomes.values()) == 1000 and done.outcomes["checkpoint_case: accepted"] > 50
    assert done.outcomes["overrides_case: accepted"] > 10 and done.oracle.called["gan.models.mlp.Generator"] > 50


def check_outermost(path, node, trust=False):
    if isinstance(node, dict) and "_target_" in node:
        targets.check_node(path, node, trust)
    elif isinstance(node, dict):
        for name, child in node.items():
            check_outermost(f"{path}.{name}", child, trust)


WEAKENED = {
    "what is within a node is not checked": (targets, "check_tree", check_outermost),
    "any name is ours": (targets, "is_ours", lambda *_: True),
    "any override is safe": (overrides, "is_safe", lambda *_: True),
    "references are resolved": (checkpoint, "parse_config", lambda text: OmegaConf.to_container(OmegaConf.create(text), resolve=True)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("weakness", WEAKENED)
def test_the_oracle_notices_a_check_that_is_too_weak(monkeypatch, weakness):
    module, name, weak = WEAKENED[weakness]
    monkeypatch.setattr(module, name, weak)
    if name == "parse_config":
        monkeypatch.setattr(fuzz_configs, "TARGETS", ["gan.losses.Hinge"])
    with pytest.raises(Violation):
        fuzz(1000, 0, strict=False)


def test_the_oracle_notices_programs_files_and_secrets(tmp_path):
    oracle = fuzz_configs.Oracle(tmp_path)
    outside = tmp_path.parent / "outside"
    acts = [lambda: os.system("true"), lambda: outside.write_text("x"), outside.mkdir, lambda: tmp_path.rename(outside)]
    for act in acts:
        oracle.watching = True
        with pytest.raises(Violation):
            act()
    oracle.watching = True
    (tmp_path / "inside").write_text("x")
    oracle.watching = False
