"""Checkpoints: their format, moved classes, and which settings may change."""

import errno
import os
from pathlib import Path

import pytest
import torch

from gan import __version__
from gan.config.errors import ConfigError
from gan.metrics import features, protocol
from gan.models.base import Generator
from gan.training import build, checkpoint
from tests.conftest import same_weights

CPU = torch.device("cpu")


def edit(folder, change):
    """Change the content of a run's last checkpoint."""
    path = checkpoint.path_in(folder)
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def test_a_checkpoint_has_a_format_number(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=1")
    state = torch.load(checkpoint.path_in(tmp_path), weights_only=True)
    assert state["format"] == checkpoint.FORMAT == 2 and state["version"] == __version__


@pytest.mark.parametrize(("number", "version"), [(None, None), (1, "0.1"), (3, "9.7.5")])
def test_a_checkpoint_of_another_format_is_an_error_that_names_both_versions(train_here, tmp_path, number, version):
    """None: without a number and a version, as before there were any."""

    def replace(state):
        del state["format"], state["version"]
        state |= {} if number is None else {"format": number, "version": version}

    train_here(tmp_path, "train.max_steps=1")
    edit(tmp_path, replace)
    for use in (
        lambda: train_here(tmp_path, "train.max_steps=2", resume=True),
        lambda: build.load_trained(tmp_path, "last", True, CPU),
    ):
        with pytest.raises(ConfigError, match=rf"format .*{version or '0.1'}\b.*{__version__}\b") as caught:
            use()
        message = str(caught.value)
        assert "\n" not in message and message.endswith(".")


def test_a_checkpoint_that_names_a_moved_class_is_sampled_from_and_resumed(train_here, tmp_path, monkeypatch):
    """Both a class and a trick that have moved since the checkpoint was written."""
    few = ["trick=[replay]", "trick.replay.images=16"]
    train_here(tmp_path / "unbroken", *few, "train.max_steps=4")
    train_here(tmp_path / "moved", *few, "train.max_steps=2")
    expected = build.load_trained(tmp_path / "moved", "last", True, CPU)
    names = {
        "gan.networks.Generator": "gan.models.mlp.Generator",
        "gan.tricks.history.Replay": "gan.tricks.replay.Replay",
    }

    def use_old_names(state):
        for old, current in names.items():
            assert f"_target_: {current}\n" in state["config"]
            state["config"] = state["config"].replace(f"_target_: {current}\n", f"_target_: {old}\n")

    edit(tmp_path / "moved", use_old_names)
    with pytest.raises(ConfigError):
        build.load_trained(tmp_path / "moved", "last", True, CPU)
    monkeypatch.setattr(checkpoint, "MOVED", names)
    loaded = build.load_trained(tmp_path / "moved", "last", True, CPU)
    assert loaded.cfg == expected.cfg and type(loaded.generator) is type(expected.generator)
    weights = zip(loaded.generator.parameters(), expected.generator.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    train_here(tmp_path / "moved", *few, "train.max_steps=4", resume=True)
    assert same_weights(tmp_path / "moved", tmp_path / "unbroken")


def test_only_whole_names_are_moved(monkeypatch):
    monkeypatch.setattr(checkpoint, "MOVED", {"gan.a.B": "gan.c.D"})
    config = "x:\n  _target_: gan.a.B\ny:\n  _target_: gan.a.Bc\nz: gan.a.B\n"
    assert checkpoint.with_current_names(config) == config.replace("_target_: gan.a.B\n", "_target_: gan.c.D\n")


def test_the_path_of_the_test_images_may_change_and_that_of_the_images_may_not():
    checkpoint.check_same_settings("dataset: {path: a, test_path: null}", "dataset: {path: a, test_path: b}")
    with pytest.raises(ConfigError, match=r"dataset\.path was a and is now b"):
        checkpoint.check_same_settings("dataset: {path: a, test_path: null}", "dataset: {path: b, test_path: null}")


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_folder_without_the_checkpoint_is_an_error_that_names_it(train_here, tmp_path, which):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "empty"):
        with pytest.raises(ConfigError, match=folder.name):
            checkpoint.load(folder, which)
    if which == "best":
        train_here(tmp_path / "run", "train.max_steps=1")
        with pytest.raises(ConfigError, match="checkpoint=best"):
            checkpoint.load(tmp_path / "run", which)


def unreadable(monkeypatch, name, error):
    """From now on the file `name` cannot be opened."""
    open_file = os.open

    def fail(file, *args, **kwargs):
        if Path(file).name == name:
            raise error
        return open_file(file, *args, **kwargs)

    monkeypatch.setattr(os, "open", fail)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM])
def test_a_checkpoint_that_cannot_be_read_is_an_error_and_nothing_is_replaced(
    train_here, tmp_path, monkeypatch, number
):
    """Not for the one before it either, from which a run would go on with less."""
    train_here(tmp_path, "train.max_steps=4", "watch.checkpoint_every=2")
    paths = [checkpoint.path_in(tmp_path, which) for which in ("last", "previous")]
    contents = [path.read_bytes() for path in paths]
    with monkeypatch.context() as patch:
        unreadable(patch, "last.pt", OSError(number, os.strerror(number)))
        for use in (
            lambda: train_here(tmp_path, "train.max_steps=8", resume=True),
            lambda: build.load_trained(tmp_path, "last", True, CPU),
        ):
            with pytest.raises(OSError) as caught:
                use()
            assert caught.value.errno == number and caught.value.filename == str(paths[0])
    assert [path.read_bytes() for path in paths] == contents


def test_a_checkpoint_that_cannot_be_read_gets_one_sentence(program, train_here, tmp_path, monkeypatch):
    train_here(tmp_path, "train.max_steps=1")
    unreadable(monkeypatch, "last.pt", PermissionError(errno.EACCES, "Permission denied"))
    for name in ("sample.py", "gan.evaluate"):
        done = program(name, f"run={tmp_path}")
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert all(words in done.stderr for words in ("last.pt", "Permission denied")) and "damaged" not in done.stderr


def test_the_best_checkpoint_is_not_replaced_where_it_cannot_be_read(train_here, tmp_path, monkeypatch, caplog):
    scoring = ["watch.scores_every=2", "watch.scores_images=100"]
    monkeypatch.setattr(features, "EPOCHS", 1)
    score, fids = protocol.Reference.score, iter([30.0, 20.0, 10.0])
    monkeypatch.setattr(protocol.Reference, "real_data_baseline", lambda *_: {})  # which is scored, too
    monkeypatch.setattr(protocol.Reference, "score", lambda *args: score(*args) | {"fid_digits": next(fids)})
    train_here(tmp_path, *scoring, "train.max_steps=2")
    best = checkpoint.path_in(tmp_path, "best")
    content = best.read_bytes()
    with monkeypatch.context() as patch:
        unreadable(patch, "best.pt", OSError(errno.EIO, "Input/output error"))
        train_here(tmp_path, *scoring, "train.max_steps=4", resume=True)
    assert best.read_bytes() == content and "best.pt" in caplog.text and "Input/output error" in caplog.text
    train_here(tmp_path, *scoring, "train.max_steps=6", resume=True)
    assert checkpoint.load(tmp_path, "best")["step"] == 6


def test_too_little_memory_for_the_networks_does_not_look_like_another_version(train_here, tmp_path, monkeypatch):
    train_here(tmp_path, "train.max_steps=1")

    def fail(*_args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Generator, "load_state_dict", fail)
    with pytest.raises(OSError) as caught:
        build.load_trained(tmp_path, "last", True, CPU)
    assert caught.value.errno == errno.ENOMEM
