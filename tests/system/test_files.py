"""Paths, temporary files, reserved disk space and files of rows."""

import os
import time

from gan.system import files, locks


def test_a_path_on_another_drive_is_shown_as_it_is(monkeypatch, tmp_path):
    assert files.relative_path(tmp_path / "a", tmp_path) == "a"

    def fail(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")  # as on Windows

    monkeypatch.setattr(os.path, "relpath", fail)
    assert files.relative_path(tmp_path / "a") == str(tmp_path / "a")


def test_what_a_killed_process_was_writing_is_removed(tmp_path, dead):
    """By the next write beside it. What a living process writes stays, and for a day what another host does."""
    day_ago = time.time() - 86_500
    names = {
        f".a.pt.{dead}@{locks.HOST}.part": False,
        f".a.pt.{os.getppid()}@{locks.HOST}.part": True,
        f".b.{dead}@another-host.example.part": True,
        f".c.{dead}@another-host.example.part": False,  # a day old
        ".d.17.part": True,  # another program's, as are the next
        ".e.part": True,
        "f.1@x.part": True,
    }
    for name in names:
        (tmp_path / name).write_bytes(b"half")
        if name[1] in "cdef":
            os.utime(tmp_path / name, (day_ago, day_ago))
    files.write_json(tmp_path / "new.json", {})
    assert {name: (tmp_path / name).exists() for name in names} == names


def test_a_temporary_file_names_its_process(tmp_path):
    with files.atomic_write(tmp_path / "a.pt"):
        (path,) = tmp_path.iterdir()
        assert files.PARTIAL.fullmatch(path.name).groups() == (str(os.getpid()), locks.HOST)


def test_reserved_space_can_be_released_early(tmp_path):
    with files.reserve_space(tmp_path) as release:
        assert (tmp_path / ".room").stat().st_size == files.RESERVED_BYTES
        release()
        assert not (tmp_path / ".room").exists()
    with files.reserve_space(tmp_path):
        pass
    assert not (tmp_path / ".room").exists()


def test_an_incomplete_row_is_left_out(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert files.read_rows(path) == [{"step": 1}, {"step": 2}]
