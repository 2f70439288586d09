"""A cache: what is missing or wrong is made again, and what cannot be read is left as it is."""

import errno
import os

import pytest

from gan.system.cache import describe, from_cache, limit_size, remove_stale


def read(path):
    return int(path.read_text())


def write(content, file):
    file.write(str(content).encode())


def test_what_is_made_is_kept(tmp_path):
    path = tmp_path / "cache" / "number"
    assert from_cache(path, read, lambda: 3, write) == 3
    assert from_cache(path, read, lambda: 4, write) == 3


def test_what_is_wrong_is_made_again_with_a_line_in_the_log(tmp_path, caplog):
    path = tmp_path / "number"
    path.write_text("three")
    assert from_cache(path, read, lambda: 4, write) == 4 and path.read_text() == "4"
    assert str(path) in caplog.text and "three" in caplog.text


@pytest.mark.parametrize("error", [OSError(errno.EIO, os.strerror(errno.EIO)), MemoryError("memory")])
def test_what_cannot_be_read_is_not_replaced(tmp_path, caplog, error):
    def fail(_path):
        raise error

    path = tmp_path / "number"
    path.write_text("3")
    assert from_cache(path, fail, lambda: 4, write) == 4 and path.read_text() == "3"
    assert str(path) in caplog.text and str(error) in caplog.text


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").touch()
    assert from_cache(tmp_path / "file" / "number", read, lambda: 4, write) == 4


def fill(folder, **ages):
    """Files of 100 bytes, by their age in days."""
    for name, days in ages.items():
        path = folder / NAMES[name]
        path.write_bytes(bytes(100))
        then = path.stat().st_mtime - 86_400 * days
        os.utime(path, (then, then))


NAMES = {
    "images": "images-0123456789abcdef.npy",
    "digits": "digits-train-640-01234567.pt",
    "older": "digits-train-640-89abcdef.pt",
    "classifier": "classifier-mnist-01234567-89abcdef.pt",
    "foreign": "images-of-cats.npy",
}


def names_in(folder):
    return {label for label, name in NAMES.items() if (folder / name).exists()}


def test_files_of_other_versions_are_removed(tmp_path, caplog):
    caplog.set_level("INFO")
    fill(tmp_path, images=1, digits=1, older=0, foreign=9)
    remove_stale(tmp_path, "digits-*", "digits-*-01234567.pt")
    assert names_in(tmp_path) == {"images", "digits", "foreign"} and NAMES["older"] in caplog.text


def test_what_was_not_used_for_longest_is_removed_until_the_rest_fits(tmp_path):
    fill(tmp_path, images=3, digits=2, older=1, classifier=5, foreign=9)
    limit_size(tmp_path, 400)
    assert names_in(tmp_path) == NAMES.keys()
    limit_size(tmp_path, 250)
    assert names_in(tmp_path) == {"digits", "older", "foreign"}
    limit_size(tmp_path, 0)
    assert names_in(tmp_path) == {"older", "foreign"}  # what was used last may be in use


def test_decoded_images_that_are_larger_than_the_cache_may_be_stay_while_they_are_used_last(tmp_path):
    fill(tmp_path, images=1, digits=2)
    beside = tmp_path / NAMES["images"].replace("npy", "json")
    beside.write_bytes(b"{}")
    limit_size(tmp_path, 0)
    assert names_in(tmp_path) == {"images"} and beside.exists()


def test_a_cache_that_does_not_exist_is_empty(tmp_path):
    limit_size(tmp_path / "none", 0)
    assert describe(tmp_path / "none") == [f"{tmp_path / 'none'}: 0 files of 0.00 GB; at most 100 GB are kept"]
