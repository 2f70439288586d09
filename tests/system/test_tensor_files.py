"""Files of torch.save: what cannot be read is told apart from what is wrong."""

import contextlib
import errno
import os
import zipfile
from pathlib import Path

import pytest
import torch

from gan.system.tensor_files import load_tensors

UNREADABLE = [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM]


@pytest.fixture
def path(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    return tmp_path / "a.pt"


@pytest.mark.parametrize("number", UNREADABLE)
@pytest.mark.parametrize("moment", ["opened", "read", "loaded"])
def test_what_cannot_be_read_is_an_error_with_its_cause_and_its_name(path, monkeypatch, number, moment):
    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    place = {"opened": (os, "open"), "read": (zipfile.ZipFile, "testzip"), "loaded": (torch, "load")}[moment]
    monkeypatch.setattr(*place, fail)
    with pytest.raises(OSError) as caught:
        load_tensors(path)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 bytes")])
def test_too_little_memory_is_no_damage(path, monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(OSError) as caught:
        load_tensors(path)
    assert caught.value.errno == errno.ENOMEM and str(path) in caught.value.strerror


def test_a_link_that_leads_nowhere_cannot_be_read(tmp_path):
    (tmp_path / "a.pt").symlink_to("a.pt")
    with pytest.raises(OSError) as caught:
        load_tensors(tmp_path / "a.pt")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "flipped", "folder", "pipe", "pickle"])
def test_what_is_wrong_is_a_value_error(path, kind):
    content = bytearray(path.read_bytes())
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "pickle":
        torch.save({"a": Path("x")}, path)
    else:
        content[content.index(torch.ones(2).numpy().tobytes())] ^= kind == "flipped"
        path.write_bytes({"empty": b"", "text": b"text", "cut": content[: len(content) // 2]}.get(kind, content))
    with pytest.raises(ValueError):
        load_tensors(path)


def test_every_cut_and_every_wrong_place_of_the_directory_is_a_value_error(path):
    """An offset that is not in the file makes zipfile seek there, which gives an OSError."""
    content = path.read_bytes()
    for count in range(0, len(content), 97):
        path.write_bytes(content[:count])
        with pytest.raises(ValueError):
            load_tensors(path)
    end = content.rindex(b"PK\x05\x06")
    for place in range(end, len(content)):
        for value in (0, 127, 255):
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            with contextlib.suppress(ValueError):
                load_tensors(path)
