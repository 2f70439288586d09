"""`python -m gan.data` says what a dataset has, and writes a contact sheet beside nothing."""

import os
import shlex

import numpy as np
import pytest
from PIL import Image

from gan.config.options import option_files
from tests.forked import ROOT


@pytest.fixture
def pets(tmp_path):
    """Six orange cats and nine blue dogs, and a text."""
    for name, color, count in (("cat", (255, 140, 0), 6), ("dog", (0, 0, 255), 9)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (16, 16), color).save(tmp_path / "pets" / name / f"{number}.png")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("of cats")
    return tmp_path / "pets"


@pytest.fixture
def look(program, tmp_path):
    """`python -m gan.data` with a cache of its own, and what each label says."""

    def call(*words, **options):
        done = program(
            "gan.data", *words, f"cache_dir={tmp_path / 'cache'}", f"out={tmp_path / 'sheet.png'}", **options
        )
        lines = [line.ljust(17) for line in done.stdout.splitlines() if line.startswith("  ")]
        joined = "\n".join(lines).replace("\n" + " " * 17, " ")
        return done, {line[:17].strip(): line[17:] for line in joined.splitlines()}

    return call


def listing(folder):
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_a_folder_is_described_and_left_as_it_is(look, pets, tmp_path):
    before = listing(pets)
    done, said = look(str(pets))
    assert done.returncode == 0 and done.stderr == ""
    assert str(pets) in said["data"] and said["images"].startswith("15 images of 16x16x3")
    assert "values 0 to 255" in said["images"] and said["classes"] == "2 classes: cat (6), dog (9)"
    assert said["skipped"] == "1 .txt" and "images " in said["content"] and "labels " in said["content"]
    assert listing(pets) == before
    with Image.open(tmp_path / "sheet.png") as sheet:
        colors = [color for _, color in sorted(sheet.convert("RGB").getcolors(2**20))]
        assert colors.index((255, 140, 0)) < colors.index((0, 0, 255))  # of six and of nine images
    assert os.path.relpath(tmp_path / "sheet.png", ROOT) in said["contact sheet"]


def test_the_line_to_type_trains_on_the_same_images(look, pets, program, tmp_path):
    _, said = look(str(pets))
    words = shlex.split(said["to train"])
    assert words[:2] == ["python", "train.py"]
    tiny = ["train.max_steps=2", "train.batch_size=4", "device=cpu", "model=mlp", f"hydra.run.dir={tmp_path / 'run'}"]
    done = program("train.py", *words[2:], *tiny)
    assert done.returncode == 0, done.stderr
    assert "15 images" in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", ["with space (1)", "Übung", "a=b", "it's", "comma,here"])
def test_a_folder_may_have_any_name(look, tmp_path, name):
    (tmp_path / name).mkdir()
    Image.new("L", (8, 8)).save(tmp_path / name / "a.png")
    done, said = look(str(tmp_path / name))
    assert done.returncode == 0, done.stderr
    assert said["images"].startswith("1 images of 8x8x1")


def test_a_dataset_is_named_alone_or_as_a_setting(look, cache):
    words = ["dataset.count=640", "dataset.limit=50", f"cache_dir={cache}"]
    first, by_name = look("digits", *words[:2])
    second, by_setting = look("dataset=digits", *words[:2])
    assert first.returncode == second.returncode == 0
    assert by_name["images"] == by_setting["images"] and by_name["images"].startswith("50 images of 28x28x1")
    assert by_name["content"] == by_setting["content"]


def test_images_of_several_sizes_are_shown_at_one_and_the_line_to_type_names_it(look, pets):
    Image.new("RGB", (40, 20)).save(pets / "cat" / "wide.png")
    done, said = look(str(pets))
    assert done.returncode == 0 and "64x64x3" in said["images"]
    assert "dataset.image_size" in said["size"] and "dataset.image_size=64" in said["to train"]


def test_nothing_is_written_into_the_folder_of_the_images(program, pets):
    before = listing(pets)
    done = program("gan.data", str(pets), f"cache_dir={pets / 'cache'}", f"out={pets / 'sheet.png'}")
    assert done.is_clean_exit() and done.returncode == 1 and "out=" in done.stderr
    assert listing(pets) == before
    done = program("gan.data", str(pets), f"cache_dir={pets / 'cache'}", f"out={pets.parent / 'sheet.png'}")
    assert done.returncode == 0 and listing(pets) == before


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["missing_folder"], "missing_folder"),
        (["dataset=mnits"], "mnist"),
        (["dataset=image_folder"], "dataset.path"),
        (["dataset.colour=3"], "dataset.colour"),
        (["README.md"], "README.md"),
        (["digits", "usps"], "at a time"),
        (["digits", "dataset=usps"], "at a time"),
        (["digits", "out=sheet.gif"], ".png"),
        (["digits", "dataset.count=-1"], "dataset.count"),
        (["digits", "split=valid"], "split"),
    ],
)
def test_mistakes_are_one_sentence(program, tmp_path, words, part):
    done = program("gan.data", *words, f"cache_dir={tmp_path}", "dataset.limit=3")
    assert done.returncode == 1 and done.is_clean_exit(), done.stderr
    assert part in done.stderr


def test_help_is_short_and_lists_every_setting(program):
    done = program("gan.data", "--help")
    assert done.returncode == 0 and len(done.stdout.splitlines()) < 25
    assert all(f"\n{name}: " in done.stdout for name in ("split", "data_dir", "cache_dir", "cache", "out"))


def test_the_cache_is_listed(program, tmp_path):
    np.save(tmp_path / "images-0123456789abcdef.npy", np.zeros(2**20, np.uint8))
    (tmp_path / "other.npy").touch()
    done = program("gan.data", "--cache", f"cache_dir={tmp_path}")
    assert done.returncode == 0 and "images-0123456789abcdef.npy" in done.stdout and "1.0 MB" in done.stdout
    assert "other" not in done.stdout and "1 files" in done.stdout


def test_a_dataset_that_cannot_be_downloaded_is_one_sentence(program, tmp_path):
    assert "celeba64" in option_files("dataset")
    done = program("gan.data", "celeba64", f"data_dir={tmp_path}", f"cache_dir={tmp_path}")
    assert done.returncode == 1 and done.is_clean_exit() and "by hand" in done.stderr
