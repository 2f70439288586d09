"""Your own images from the command line: read, trained on, and sampled by the names of their classes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from gan import programs as program_file
from gan.cli import paths
from gan.config import check
from gan.config.errors import ConfigError
from gan.training import build, checkpoint, loop
from gan.training.resume import resume
from tests.conftest import CONF, composed, same_weights
from tests.data.image_files import FORMS, encode, gray_png, load, two_classes, write, write_folder

COLORS = {"orange": (240, 130, 10), "green": (20, 200, 40), "deep blue": (15, 30, 220)}
SMALL = ["model=mlp", "model.generator.hidden=[32]", "model.discriminator.hidden=[32]", "device=cpu", "threads=1"]
SMALL += ["train.batch_size=16", "watch.samples=4", "watch.final_samples=4"]


def colored_images(seed=0):
    """Images of each color with some noise, 20 of each, by class name and number."""
    generator = np.random.default_rng(seed)
    return {
        (name, number): (np.array(color) + generator.integers(-10, 11, (8, 8, 3))).clip(0, 255).astype(np.uint8)
        for name, color in COLORS.items()
        for number in range(20)
    }


def write_labeled(path, form):
    """The colored images with their classes in one of the forms that labels can have."""
    images = colored_images()
    flat = {f"{number:02d}.png": key for number, key in enumerate(images)}
    files = {name: encode(Image.fromarray(images[key])) for name, key in flat.items()}
    if form == "npz":
        np.savez(path, images=np.stack([*images.values()]), labels=np.array([name for name, _ in images]))
        return path.with_suffix(".npz")
    if form == "dataset.json":
        labels = [[name, list(COLORS).index(key[0])] for name, key in flat.items()]
        content = json.dumps({"labels": labels, "classes": list(COLORS)})
        return write_folder(path, files | {"dataset.json": content.encode()})
    if form == "labels.csv":
        content = "file,label\n" + "".join(f"{name},{key[0]}\n" for name, key in flat.items())
        return write_folder(path, files | {"labels.csv": content.encode()})
    path.mkdir()
    return write(path / form, {f"{flat[name][0]}/{name}": content for name, content in files.items()})


@pytest.mark.slow
@pytest.mark.parametrize("form", [*FORMS[:3], "npz", "dataset.json", "labels.csv"])
def test_each_class_has_its_own_color_by_its_name_however_the_labels_were_given(program, tmp_path, form):
    path, run = write_labeled(tmp_path / "data", form), tmp_path / "run"
    data = ["dataset=image_folder", f"dataset.path={path}", f"cache_dir={tmp_path / 'cache'}"]
    few = [*SMALL, "train.max_steps=300", "train.ema_decay=0.9", "trick=[conditional]"]
    done = program("train.py", *data, *few, f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    assert sorted(checkpoint.load(run)["image"][3]) == sorted(COLORS)
    for name in COLORS:
        out = tmp_path / f"{name}.npz"
        done = program("sample.py", f"run={run}", f"class={name}", "n=16", f"out={out}", "device=cpu")
        assert done.returncode == 0, done.stderr
        found = np.load(out)
        assert {found["class_names"][label] for label in found["labels"]} == {name}
        mean = found["images"].mean((0, 1, 2))
        distances = {other: np.abs(mean - values).max() for other, values in COLORS.items()}
        assert min(distances, key=distances.get) == name and distances[name] < 60, (name, mean)


@pytest.fixture
def conditional_run(tmp_path):
    """A run on class folders with these names, after one step."""

    def train(*names):
        contents = {f"{name}/{copy}.png": gray_png(20 * value) for value, name in enumerate(names) for copy in "abcd"}
        path = write_folder(tmp_path / "images", contents)
        data = ["dataset=image_folder", f"dataset.path={path}", f"cache_dir={tmp_path / 'cache'}"]
        cfg = composed(*data, *SMALL, "train.batch_size=4", "train.max_steps=1", "trick=[conditional]")
        loop.train(build.build_run(cfg, check.check_config(cfg), {}), tmp_path / "run")
        return tmp_path / "run"

    return train


def sample(run, *typed):
    """What sample.py does with what a user types, in this process. Returns the path of the samples."""
    read = paths.read_arguments([f"run={run}", "device=cpu", *typed], ["run", "out", "class"])
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("sample", overrides=read)
    return Path(program_file.sample_images(cfg).partition(" written to ")[2])


def labels_of(run, typed):
    return np.load(sample(run, f"class={typed}", "n=2", "format=npz"))["labels"].tolist()


def test_a_class_is_chosen_by_its_name_and_a_number_is_a_name_where_names_are_numbers(conditional_run):
    run = conditional_run(*map(str, range(1, 12)))
    assert labels_of(run, "2") == [1, 1] and labels_of(run, "11") == [10, 10]
    for typed in ("0", "12", "cat"):
        with pytest.raises(ConfigError, match=f"class={typed}.*1, 2, 3"):
            sample(run, f"class={typed}")


@pytest.mark.parametrize("name", ["a b", "Übung", "x=1", "a,b", "(c)", "true", "it's", "-1"])
def test_the_name_of_a_class_may_have_any_characters(conditional_run, name):
    run = conditional_run("!", name, "~")
    (index,) = {*labels_of(run, name)}
    assert checkpoint.load(run)["image"][3][index] == name and labels_of(run, str(index)) == [index] * 2


def test_samples_of_classes_are_written_with_their_labels(conditional_run, tmp_path):
    run = conditional_run("cat", "Dog", "dog", "x")
    for form in ("npz", "png"):
        sample(run, "n=10", f"format={form}", f"out={tmp_path}/many")
    found = np.load(tmp_path / "many.npz")
    assert found["labels"].tolist() == [index % 4 for index in range(10)]
    names = found["class_names"].tolist()
    folders = {path.name for path in (tmp_path / "many").iterdir()}
    assert len(folders) == 4 and all(any(name in folder for folder in folders) for name in ("cat", "Dog", "dog"))
    for index, image in enumerate(found["images"]):
        (path,) = (tmp_path / "many").glob(f"*/{index:05d}.png")
        assert (np.asarray(Image.open(path)) == image[:, :, 0]).all()
    again = load(tmp_path / "many.npz", tmp_path / "cache")  # what is written can be read
    assert again.class_names == tuple(names) and sorted(again.labels.tolist()) == sorted(found["labels"].tolist())
    from_folders = load(tmp_path / "many", tmp_path / "cache")
    assert set(from_folders.class_names) == folders and len(from_folders) == 10


def test_another_set_of_samples_of_classes_is_not_mixed_with_the_first(conditional_run, tmp_path):
    run = conditional_run("cat", "dog")
    many = ["format=png", f"out={tmp_path}/many"]
    sample(run, *many, "n=6")
    with pytest.raises(ConfigError, match=r"many.*cat/00004\.png"):
        sample(run, *many, "n=4")
    with pytest.raises(ConfigError, match=r"many.*00001\.png"):
        sample(run, *many, "n=6", "class=cat")
    sample(run, *many, "n=6")


def test_a_class_name_never_leads_out_of_the_folder_of_samples(conditional_run, tmp_path):
    run = conditional_run("cat", "dog")
    state = checkpoint.load(run)
    state["image"][3] = ("../../outside", "/tmp/outside")
    torch.save(state, checkpoint.path_in(run))
    sample(run, "n=2", "format=png", f"out={tmp_path}/a/b/c")
    sample(run, "n=2", "class=../../outside")
    assert {path.parent for path in run.rglob("grid*.png")} == {run / "generated"}
    written = {str(path.relative_to(tmp_path / "a/b/c")) for path in tmp_path.rglob("0000?.png")}
    assert written == {"_.._outside/00000.png", "_tmp_outside/00001.png"}


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c"), (1, 2)])
def test_class_names_that_do_not_fit_a_checkpoint_are_one_sentence(conditional_run, names):
    run = conditional_run("cat", "dog")
    state = checkpoint.load(run)
    state["image"][3] = names
    torch.save(state, checkpoint.path_in(run))
    with pytest.raises(ConfigError, match="checkpoint"):
        sample(run, "n=2")


def test_a_run_from_before_class_names_is_sampled_by_number(conditional_run):
    run = conditional_run("cat", "dog")
    state = checkpoint.load(run)
    del state["image"][3]
    torch.save(state, checkpoint.path_in(run))
    assert labels_of(run, "1") == [1, 1]


def test_mirrored_images_are_resumed_to_the_same_bits(tmp_path):
    path = write_folder(tmp_path / "images", two_classes(16))
    data = ["dataset=image_folder", f"dataset.path={path}", f"cache_dir={tmp_path / 'cache'}", "dataset.mirror=true"]

    def train(steps, folder, again=False):
        cfg = composed(*data, *SMALL, f"train.max_steps={steps}")
        run = build.build_run(cfg, check.check_config(cfg), {})
        if again:
            resume(run, tmp_path / folder)
        loop.train(run, tmp_path / folder)

    train(4, "whole")
    train(2, "parts")
    train(4, "parts", again=True)
    assert same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_a_test_folder_in_the_data_is_what_scores_are_taken_against(tmp_path):
    generator = np.random.default_rng(0)
    contents = {
        f"{split}/{name}/{number}.png": encode(
            Image.fromarray((generator.integers(0, 60, (8, 8)) + 150 * index).astype(np.uint8))
        )
        for split, count in (("train", 60), ("test", 50))
        for index, name in enumerate("ab")
        for number in range(count)
    }
    path = write_folder(tmp_path / "images", contents)
    data = ["dataset=image_folder", f"dataset.path={path}", f"cache_dir={tmp_path / 'cache'}"]
    cfg = composed(*data, *SMALL)
    folders = tmp_path, tmp_path / "cache"
    reference = build.build_reference(cfg, None, "classifier", folders, torch.device("cpu"))
    assert (reference.split, len(reference.real), len(reference.train)) == ("test", 100, 120)
    assert build.build_reference(cfg, "train", "classifier", folders, torch.device("cpu")).split == "train"
