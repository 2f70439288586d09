"""What is read from folders and archives, and what is left out."""

import errno
import gzip
import io
import os
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from gan.config.errors import ConfigError
from gan.data import archives, decode_all, selection, sources
from gan.system import images
from tests.damage import damaged, damages
from tests.data.image_files import (
    FORMS,
    brightness,
    encode,
    gray_png,
    load,
    two_classes,
    write,
    write_folder,
    write_zip,
)

HIDDEN = [".ipynb_checkpoints/0.png", "cat/.ipynb_checkpoints/1.png"]
OF_SYSTEMS = [
    *("@eaDir/a.png", "cat/@eaDir/b.png", "__MACOSX/cat/._0.png", ".thumbs/c.png", "$RECYCLE.BIN/d.png"),
    *("System Volume Information/e.png", "#recycle/dog/f.png", "lost+found/g.png", "dog/Thumbs.db", "cat/.DS_Store"),
    "cat/._0.png",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("names", [HIDDEN, OF_SYSTEMS], ids=["checkpoints", "systems"])
def test_hidden_and_system_folders_are_counted_and_never_entered(tmp_path, form, names):
    path = write(tmp_path / form, two_classes() | dict.fromkeys(names, gray_png(99)))
    dataset = load(path, tmp_path / "cache")
    assert len(dataset) == 12 and dataset.class_names == ("cat", "dog")
    assert dataset.labels.tolist() == [value % 2 for value in brightness(dataset)]
    assert dataset.skipped == {"hidden": len(names)}


def test_a_hidden_folder_may_hold_the_images_itself(tmp_path):
    assert len(load(write(tmp_path / ".hidden", two_classes()), tmp_path / "cache")) == 12


@pytest.mark.parametrize("form", FORMS[1:])
def test_an_archive_gives_the_same_as_its_folder(tmp_path, form):
    contents = two_classes() | {"notes.txt": b"x"}
    expected, found = (load(write(tmp_path / name, contents), tmp_path / "cache") for name in ("folder", form))
    assert torch.equal(found.images, expected.images) and torch.equal(found.labels, expected.labels)
    assert found.skipped == expected.skipped == {".txt": 1}
    assert not list((tmp_path / "cache").glob("tmp*"))


def test_linked_class_folders_are_read_as_the_folders_themselves(tmp_path):
    write_folder(tmp_path / "elsewhere", two_classes())
    (tmp_path / "links").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "links" / name).symlink_to(tmp_path / "elsewhere" / name, target_is_directory=True)
    expected, found = (load(tmp_path / name, tmp_path / "cache") for name in ("elsewhere", "links"))
    assert torch.equal(found.images, expected.images) and torch.equal(found.labels, expected.labels)
    assert found.class_names == ("cat", "dog") and found.skipped == {}


def test_circular_links_end(tmp_path):
    folder = write_folder(tmp_path / "images", two_classes())
    (folder / "cat" / "above").symlink_to(folder, target_is_directory=True)
    (folder / "dog" / "itself").symlink_to(folder / "dog", target_is_directory=True)
    (folder / "dog" / "self").symlink_to("self")
    dataset = load(folder, tmp_path / "cache")
    assert len(dataset) == 12 and dataset.class_names == ("cat", "dog")
    assert dataset.skipped == {"circular links": 2, "broken links": 1}


def test_names_that_are_not_utf_8_are_read_and_shown_with_escapes(tmp_path):
    contents = {b"a\xfc/\xfcbung.png": gray_png(0), b"a\xfc/\xfcbroken.png": b"no image", b"a\xfc/x.\xfc": b"text"}
    contents = {os.fsdecode(name): content for name, content in contents.items()}
    write_folder(tmp_path / "images", contents | {"b/1.png": gray_png(1)})
    dataset = load(tmp_path / "images", tmp_path / "cache")
    assert sorted(brightness(dataset)) == [0, 1] == sorted(dataset.labels.tolist())
    assert dataset.class_names == ("a\\udcfc", "b") and dataset.skipped == {"unreadable": 1, ".\\udcfc": 1}


@pytest.mark.parametrize("names", [["cat\\0.png", "dog\\1.png"], ["all\\cat\\0.png", "all/dog/1.png"]])
def test_a_zip_may_have_backslashes_in_its_names(tmp_path, names):
    path = write_zip(tmp_path / "x.zip", {name: gray_png(index) for index, name in enumerate(names)})
    dataset = load(path, tmp_path / "cache")
    assert dataset.class_names == ("cat", "dog") and dataset.labels.tolist() == brightness(dataset)


@pytest.mark.parametrize(
    ("written", "flag", "expected"),
    [
        ("Übung".encode(), 0x800, "Übung"),  # as the format wants it
        ("Übung".encode(), 0, "Übung"),  # macOS
        ("Übung".encode("cp437"), 0, "Übung"),  # Windows
        (b"\xff", 0, "\\xa0"),  # a character that is not visible
    ],
)
def test_the_names_in_a_zip_are_read_as_its_system_wrote_them(tmp_path, written, flag, expected):
    placeholder = "x" * len(written)
    content = write_zip(tmp_path / "x.zip", {f"{placeholder}/0.png": gray_png(0), "zz/1.png": gray_png(1)}).read_bytes()
    content = content.replace(placeholder.encode() + b"/0.png", written + b"/0.png")
    if flag:
        for magic, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            start = content.index(magic) + place
            content = content[:start] + flag.to_bytes(2, "little") + content[start + 2 :]
    (tmp_path / "x.zip").write_bytes(content)
    assert set(load(tmp_path / "x.zip", tmp_path / "cache").class_names) == {expected, "zz"}


def test_of_two_members_of_one_name_the_last_is_read_and_the_other_counted(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for value in (1, 2):
            archive.writestr("a.png", gray_png(value))
    dataset = load(tmp_path / "x.zip", tmp_path / "cache")
    assert brightness(dataset) == [2] and dataset.skipped == {archives.REPEATED: 1}


@pytest.mark.parametrize("form", ["folder", "x.zip", "x.tar"])
def test_files_are_images_by_their_content_whatever_their_names(tmp_path, form):
    kinds = [name.lower() for name in images.available_formats()]
    image = Image.new("L", (16, 16), 200).convert("RGB")
    endings = ["", ".jfif", ".jpg", ".dat", ".PNG", ".heic", ".1", ".txt"]
    contents = {f"{kind}{ending}": encode(image, kind) for kind in kinds for ending in endings}
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    others = {f"IMG_{number}.HEIC": heic for number in range(10)}
    others |= {
        "BMW.txt": b"BMW is no bitmap",
        "P5.md": b"P5 is no image",
        "raw.nef": encode(image, "tiff"),
        "none": b"",
    }
    dataset = load(write(tmp_path / form, contents | others), tmp_path / "cache")
    assert len(dataset) == len(contents) and all(abs(value - 200) < 3 for value in brightness(dataset))
    assert dataset.skipped == {".heic": 10, ".txt": 1, ".md": 1, ".nef": 1, "without ending": 1}


def test_a_damaged_archive_is_one_sentence(tmp_path, cache):
    for form in FORMS[1:]:
        path = write(tmp_path / form, two_classes())
        content = path.read_bytes()
        for cut in (1, 5, len(content) // 2):
            path.write_bytes(content[:cut])
            try:
                assert len(load(path, cache)) < 12  # a plain tar says nothing of its length
            except ConfigError as error:
                assert str(path) in str(error) and "\n" not in str(error)


@given(some.sampled_from(FORMS[1:]), some.data())
def test_damaged_archives_are_read_or_get_one_sentence(form, data):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, form), two_classes(4))
        content = path.read_bytes()
        path.write_bytes(damaged(content, data.draw(damages(len(content)))))
        try:
            assert len(load(path, Path(folder, "cache"), image_size=16)) <= 4
        except ConfigError as error:
            assert "\n" not in str(error) and str(error).endswith(".")


def test_the_names_of_a_large_folder_are_held_once(tmp_path, monkeypatch):
    count = 20_000

    class Entry:
        def __init__(self, name):
            self.name = name

        def stat(self):
            return os.stat_result((0o100644, 0, 0, 1, 0, 0, 500, 0, 0, 0))

        is_dir, is_file = (lambda self: False), (lambda self: True)

    class Entries:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def __iter__(self):
            return (Entry(f"image_with_a_name_of_some_length_{number:08d}.png") for number in range(count))

    monkeypatch.setattr(os, "scandir", lambda _: Entries())
    tracemalloc.start()
    source, _ = sources.list_folder(tmp_path)
    held, most = tracemalloc.get_traced_memory()
    names = selection.shuffled(selection.choose_images(source)[0], 0)
    most_after = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(names) == count and most < 1.1 * held
    assert most_after - held < held / 2  # lists of the same names, in another order


def test_the_stamp_of_a_folder_changes_with_each_of_its_files(tmp_path):
    folder = write_folder(tmp_path / "images", two_classes(4))
    stamps = {sources.list_folder(folder)[1]}
    for number, change in enumerate(
        [
            lambda: (folder / "cat" / "0.png").write_bytes(gray_png(200) + b"x"),
            lambda: (folder / "cat").rename(folder / "lion"),
            lambda: write_folder(folder, {"fox/9.png": gray_png(9)}),
            lambda: (folder / "dog" / "1.png").unlink(),
            lambda: os.utime(folder / "dog" / "3.png", (0, 0)),
        ],
        2,
    ):
        change()
        stamps.add(sources.list_folder(folder)[1])
        assert len(stamps) == number
    assert np.unique([Path(stamp).name for stamp in stamps]).size == 6


@pytest.fixture(params=["", ".gz"])
def tar(tmp_path, request):
    """Writes what a function makes of a tar of five images, packed or not; returns its path and the members' places."""

    def make(change):
        path = write(tmp_path / "whole.tar", {f"{number}.png": gray_png(number) for number in range(5)})
        with tarfile.open(path) as archive:
            places = [member.offset for member in archive]
        content = bytes(change(bytearray(path.read_bytes()), places))
        changed = tmp_path / f"x.tar{request.param}"
        changed.write_bytes(gzip.compress(content) if request.param else content)
        return changed

    return make


def damage_third_name(content, places):
    content[places[2] + 3] ^= 0xFF
    return content


@pytest.mark.parametrize(
    "change",
    [damage_third_name, lambda content, places: content[: places[3] + 100]],
    ids=["damaged", "cut"],
)
def test_a_tar_that_is_damaged_after_some_files_is_not_read_in_part(tmp_path, tar, change):
    with pytest.raises(ConfigError, match=r"the entry at byte \d+ is damaged"):
        load(tar(change), tmp_path / "cache")


def test_a_tar_that_ends_without_its_mark_says_so(tmp_path, tar):
    dataset = load(tar(lambda content, places: content[: places[3]]), tmp_path / "cache")
    assert len(dataset) == 3 and dataset.skipped == {archives.NO_END: 1}


def test_what_is_no_plain_file_in_a_tar_is_counted(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind in {
            "a": tarfile.SYMTYPE,
            "b": tarfile.LNKTYPE,
            "c": tarfile.FIFOTYPE,
            "e": tarfile.DIRTYPE,
        }.items():
            info = tarfile.TarInfo(f"{name}.png")
            info.type, info.linkname = kind, "0.png"
            archive.addfile(info)
        info = tarfile.TarInfo("0.png")
        info.size = len(gray_png(0))
        archive.addfile(info, io.BytesIO(gray_png(0)))
        sparse = tarfile.TarInfo("d.png")
        sparse.type = tarfile.GNUTYPE_SPARSE
        archive.addfile(sparse)
    dataset = load(path, tmp_path / "cache")
    assert len(dataset) == 1
    assert dataset.skipped == {"links in the archive": 2, "pipes and devices": 1, "sparse files in the archive": 1}


def test_a_zip_of_a_later_version_is_a_sentence(tmp_path):
    content = bytearray(write_zip(tmp_path / "x.zip", two_classes(2)).read_bytes())
    content[content.rfind(b"PK\1\2") + 6] = 99
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(ConfigError, match=r"zip file version 9\.9"):
        load(tmp_path / "x.zip", tmp_path / "cache")


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "too many files"), OSError(errno.ESTALE, "x")])
@pytest.mark.parametrize("name", ["image.png", "image"])
def test_an_image_is_not_left_out_where_the_system_had_too_little(tmp_path, monkeypatch, error, name):
    def fail(*_):
        raise error

    folder = write_folder(tmp_path / "x", {name: gray_png(1), "other.png": gray_png(2)})
    monkeypatch.setattr(
        decode_all if "." in name else selection, "decode_image" if "." in name else "open_content", fail
    )
    with pytest.raises(type(error)):
        load(folder, tmp_path / "cache", image_size=16)
    monkeypatch.undo()
    assert len(load(folder, tmp_path / "cache", image_size=16)) == 2
