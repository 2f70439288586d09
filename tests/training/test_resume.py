"""A resumed run equals an unbroken one to the bit, and one broken file does not stop it."""

import copy
import logging
import os
import shutil

import pytest
import torch
from PIL import Image

from gan.config import check
from gan.config.errors import ConfigError
from gan.system import files
from gan.training import build, checkpoint, loop
from gan.training.resume import resume as resume_run
from tests.conftest import NARROW, composed, read_status, same_weights
from tests.training.conftest import read_metrics


@pytest.mark.parametrize("log_mean", ["true", "false"])
def test_five_steps_and_five_more_equal_ten_to_the_bit(train_here, tmp_path, log_mean):
    chosen = ["trick=[instance_noise,soft_labels]", "train.discriminator_steps=2", "model.discriminator.dropout=0.3"]
    chosen += ["watch.log_every=3", "watch.samples_every=4", f"watch.log_mean={log_mean}"]
    unbroken, resumed = tmp_path / "unbroken", tmp_path / "resumed"
    train_here(unbroken, *chosen, "train.max_steps=10")
    train_here(resumed, *chosen, "train.max_steps=5")
    train_here(resumed, *chosen, "train.max_steps=10", resume=True)
    assert same_weights(unbroken, resumed)
    rows = [
        [{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(folder)]
        for folder in (unbroken, resumed)
    ]
    assert rows[0] == rows[1]
    grids = [
        {path.name: path.read_bytes() for path in (folder / "samples").iterdir()} for folder in (unbroken, resumed)
    ]
    assert grids[0] == grids[1]


@pytest.mark.parametrize("model", ["mlp", "dcgan"])
@pytest.mark.parametrize(
    "tricks",
    [
        "replay,adaptive_augment,track_failures,generator_noise",
        "conditional,minibatch_discrimination,generator_dropout",
        "lecam,historical_averaging,infogan,virtual_batch_norm",
    ],
)
def test_every_trick_with_a_state_resumes_to_the_bit(make_run, model, tricks):
    chosen = [f"trick=[{tricks}]", f"model={model}", "dataset.image_size=8", *NARROW[model]]
    chosen += ["trick.replay.images=16", "trick.adaptive_augment.images=40"] if "replay" in tricks else []
    runs = [make_run(*chosen), make_run(*chosen)]
    for number in range(6):
        if number == 3:
            runs[1].load_state_dict(copy.deepcopy(runs[0].state_dict()))
        for run in runs[: 1 if number < 3 else 2]:
            metrics = loop.training_step(run)
            run.step += 1
            run.tricks.find_failures(run.step, {name: value.item() for name, value in metrics.items()})
    states = [flatten(run.state_dict()) for run in runs]
    assert states[0].keys() == states[1].keys()
    different = [name for name, value in states[0].items() if not equal(value, states[1][name])]
    assert different == []


def flatten(state, path=""):
    """Nested dicts and lists as one dict."""
    if isinstance(state, (dict, list)):
        parts = state.items() if isinstance(state, dict) else enumerate(state)
        return {name: leaf for key, part in parts for name, leaf in flatten(part, f"{path}.{key}").items()}
    return {path: state}


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize(("stopped_at", "kept"), [(20, [10, 20]), (15, [10])])
def test_a_row_that_was_due_stays_where_the_run_is_resumed_with_another_period(train_here, tmp_path, stopped_at, kept):
    train_here(tmp_path, f"train.max_steps={stopped_at}", "watch.log_every=10")
    train_here(tmp_path, "train.max_steps=29", "watch.log_every=7", resume=True)
    assert [row["step"] for row in read_metrics(tmp_path)] == [*kept, 21, 28, 29]


def test_resuming_a_finished_run_is_an_error_that_names_the_setting_to_change(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=3")
    for steps in (3, 1):
        with pytest.raises(ConfigError, match=r"train\.max_steps=6"):
            train_here(tmp_path, f"train.max_steps={steps}", resume=True)
    train_here(tmp_path / "epoch", "dataset.limit=48", "train.epochs=1")
    with pytest.raises(ConfigError, match=r"train\.epochs=2"):
        train_here(tmp_path / "epoch", "dataset.limit=48", "train.epochs=1", resume=True)


def test_a_run_that_goes_on_from_an_earlier_step_says_what_it_takes_back(train_here, tmp_path, caplog):
    """As one that was killed after its last checkpoint."""
    kept = tmp_path / "checkpoints" / "last.pt"
    often = ["watch.samples_every=2", "watch.log_every=5", "watch.checkpoint_every=null"]
    train_here(tmp_path, "train.max_steps=6", *often)
    saved = kept.read_bytes()
    train_here(tmp_path, "train.max_steps=11", *often, resume=True)
    kept.write_bytes(saved)
    (tmp_path / "samples" / "step_0000012.png").write_bytes((tmp_path / "samples" / "step_0000010.png").read_bytes())
    with caplog.at_level(logging.INFO):
        train_here(tmp_path, "train.max_steps=20", *often, resume=True)
    (back,) = [" ".join(message.split()) for message in caplog.messages if "goes back" in message]
    assert back.startswith("goes back 6 steps, to 6 from 12")
    text = " ".join(caplog.text.split())
    assert "samples/step_0000008.png" in text and "samples/step_0000012.png (4 files); drawn again" in text
    assert (tmp_path / "samples" / "step_0000012.png").exists() and not (
        tmp_path / "samples" / "step_0000011.png"
    ).exists()


def test_a_run_that_was_stopped_says_that_its_last_grid_is_removed_and_nothing_else(train_here, tmp_path, caplog):
    train_here(tmp_path, "train.max_steps=5", "watch.samples_every=2")
    with caplog.at_level(logging.INFO):
        train_here(tmp_path, "train.max_steps=6", "watch.samples_every=2", resume=True)
    assert "goes back" not in caplog.text and "drawn again" not in caplog.text
    (removed,) = [message for message in caplog.messages if "removes" in message]
    assert removed.split()[1] == "samples/step_0000005.png,"


def make_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "notes.txt").write_text("mine")


def make_pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


GARBAGE_ROWS = f"""{{"step": 2, "generator/loss": "x"}}
{{"step": 4, "seconds": "x", "epoch": "x", "generator/loss": {10**400}}}
7
"""
DAMAGE = {
    "a cut grid": ("samples/step_0000004.png", lambda path: path.write_bytes(path.read_bytes()[:100])),
    "an empty grid": ("samples/step_0000006.png", lambda path: path.write_bytes(b"")),
    "a foreign name": ("samples/step_0000006 (1).png", lambda path: path.write_bytes(b"mine")),
    "a foreign number": ("samples/step_6.png", lambda path: path.write_bytes(b"mine")),
    "a grid that is a folder": ("samples/step_0000010.png", make_folder),
    "a grid that is a pipe": ("samples/step_0000008.png", make_pipe),
    "an earlier grid that is a pipe": ("samples/step_0000004.png", make_pipe),
    "rows that are a folder": ("metrics.jsonl", make_folder),
    "rows that are a pipe": ("metrics.jsonl", make_pipe),
    "garbage for rows": ("metrics.jsonl", lambda path: path.write_bytes(b'\xff\x00\n{"step": []}\n{"step": 2}\n[1]\n')),
    "garbage for numbers": ("metrics.jsonl", lambda path: path.write_text(GARBAGE_ROWS)),
    "garbage for scores": ("scores.jsonl", lambda path: path.write_bytes(bytes(range(256)))),
    "scores that are a folder": ("scores.jsonl", make_folder),
    "a status that is a folder": ("status.json", make_folder),
    "events that are a folder": ("events.out.tfevents.1", make_folder),
    "a GIF that is a folder": ("samples.gif", make_folder),
    "a GIF that is a pipe": ("samples.gif", make_pipe),
    "a last image that is a folder": ("final.png", make_folder),
    "a figure that is a folder": ("figures/losses.png", make_folder),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_broken_file_costs_a_warning(train_here, tmp_path, caplog, damage):
    train_here(tmp_path, "train.max_steps=6", "watch.samples_every=2", "watch.log_every=2")
    name, break_file = DAMAGE[damage]
    break_file(tmp_path / name)
    train_here(tmp_path, "train.max_steps=10", "watch.samples_every=2", "watch.log_every=2", resume=True)
    assert read_status(tmp_path)["state"] == "finished" and (tmp_path / "samples.gif").is_file()
    assert read_metrics(tmp_path)[-1]["step"] == 10
    if "foreign" in damage:
        assert (tmp_path / name).read_bytes() == b"mine" and "foreign" not in caplog.text
    else:
        assert tmp_path.joinpath(name).name in caplog.text
    if "folder" in damage:
        assert [path.read_text() for path in tmp_path.rglob("aside_*/notes.txt")] == ["mine"]


@pytest.mark.parametrize("name", ["samples", "figures"])
def test_a_file_in_place_of_a_folder_is_moved_aside(train_here, tmp_path, caplog, name):
    (tmp_path / name).write_bytes(b"mine")
    train_here(tmp_path, "train.max_steps=2")
    assert (tmp_path / f"aside_1_{name}").read_bytes() == b"mine" and name in caplog.text
    assert read_status(tmp_path)["state"] == "finished"


def test_too_many_rows_are_a_config_error_before_anything_is_changed(train_here, tmp_path, monkeypatch):
    train_here(tmp_path, "train.max_steps=6", "watch.log_every=1")
    monkeypatch.setattr(files, "MAX_ROWS_BYTES", 1000)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"metrics\.jsonl"):
        train_here(tmp_path, "train.max_steps=10", resume=True)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


FOLDERS = ("ant", "bee")


def write_images(folder, count=8):
    for number, name in enumerate(FOLDERS):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.new("L", (8, 8), 20 * index + number).save(folder / name / f"{index}.png")


@pytest.fixture
def train_images(cache):
    """Train on the images in a folder, or resume a run on them."""

    def call(run_folder, images, *overrides, resume=False):
        tiny = ["device=cpu", "train.batch_size=4", "model.generator.hidden=[4]", "model.discriminator.hidden=[4]"]
        data = ["dataset=image_folder", f"dataset.path={images}", f"cache_dir={cache}"]
        cfg = composed(*tiny, *data, "watch.samples=4", "train.epochs=null", *overrides)
        run = build.build_run(cfg, check.check_config(cfg), {})
        if resume:
            resume_run(run, run_folder)
        loop.train(run, run_folder)

    return call


def test_a_run_goes_on_with_images_that_were_moved(train_images, tmp_path):
    write_images(tmp_path / "here")
    train_images(tmp_path / "run", tmp_path / "here", "train.max_steps=2")
    shutil.move(tmp_path / "here", tmp_path / "there")
    train_images(tmp_path / "run", tmp_path / "there", "train.max_steps=4", resume=True)
    status = read_status(tmp_path / "run")
    assert status["step"] == 4 and status["data"]["source"] == str(tmp_path / "there")


def replace_image(folder):
    Image.new("L", (8, 8), 255).save(folder / "ant" / "3.png")


def rename_class(folder):
    (folder / "bee").rename(folder / "wasp")


def add_class(folder):
    shutil.copytree(folder / "bee", folder / "cat")


def remove_image(folder):
    (folder / "bee" / "0.png").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace_image, ["the images differ"]),
        (rename_class, ["bee is gone", "wasp is new"]),
        (add_class, ["cat is new", "was 16 and is now 24"]),
        (remove_image, ["was 16 and is now 15", "the class bee had 8 images and has 7"]),
    ],
)
def test_a_run_does_not_go_on_with_images_that_changed(train_images, tmp_path, change, words):
    images = tmp_path / "images"
    write_images(images)
    train_images(tmp_path / "run", images, "train.max_steps=2")
    change(images)
    before = read_status(tmp_path / "run")
    with pytest.raises(ConfigError) as error:
        train_images(tmp_path / "run", images, "train.max_steps=4", resume=True)
    assert all(word in str(error.value) for word in [*words, str(images)]) and "\n" not in str(error.value)
    assert read_status(tmp_path / "run") == before


def test_a_checkpoint_that_does_not_say_what_its_data_was_keeps_its_path(train_images, tmp_path):
    write_images(tmp_path / "here")
    run = tmp_path / "run"
    train_images(run, tmp_path / "here", "train.max_steps=2")
    state = checkpoint.load(run)
    del state["data"]
    checkpoint.save(run, state)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    with pytest.raises(ConfigError, match=r"dataset\.path"):
        train_images(run, tmp_path / "there", "train.max_steps=4", resume=True)
    train_images(run, tmp_path / "here", "train.max_steps=4", resume=True)
    assert read_status(run)["step"] == 4


def test_a_checkpoint_with_another_form_of_data_is_a_sentence(train_here, tmp_path):
    train_here(tmp_path, "train.max_steps=2")
    checkpoint.save(tmp_path, checkpoint.load(tmp_path) | {"data": {"images": "many"}})
    with pytest.raises(ConfigError):
        train_here(tmp_path, "train.max_steps=4", resume=True)
