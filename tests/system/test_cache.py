"""A cache: what is missing or wrong is made again, and what cannot be read is left as it is."""

import errno
import os

import pytest

from gan.system.cache import from_cache


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
