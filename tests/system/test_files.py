"""Paths, locks, reserved disk space and files of rows."""

import os

from gan.system import files


def test_a_path_on_another_drive_is_shown_as_it_is(monkeypatch, tmp_path):
    assert files.relative_path(tmp_path / "a", tmp_path) == "a"

    def fail(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")  # as on Windows

    monkeypatch.setattr(os.path, "relpath", fail)
    assert files.relative_path(tmp_path / "a") == str(tmp_path / "a")


def test_no_process_waits_for_a_file_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with files.exclusive(tmp_path / "file" / "never"), files.exclusive(tmp_path / "file" / "never"):
        pass


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
