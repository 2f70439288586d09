"""The log: a line for each record, without control characters."""

import io
import logging
import sys

import pytest
import yaml

from gan.cli.logs import Console, LineFormatter
from gan.system import console
from tests.conftest import CONF

NASTY = "a\x1b[2Jb\r\nc\u202e\udcfc"


def format_record(message: str, exc_info=None) -> str:
    """A formatted record. It is not logged: pytest's workers cannot send each other what is no UTF-8."""
    return LineFormatter("%(message)s").format(logging.LogRecord("gan", 30, "file", 1, message, (NASTY,), exc_info))


def test_the_log_has_a_line_for_each_record_without_control_characters():
    line = format_record("left out %s")
    assert line.isprintable() and "\\x1b[2J" in line
    try:
        raise ValueError(NASTY)
    except ValueError:
        lines = format_record("bug %s", sys.exc_info()).splitlines()
    assert len(lines) > 2 and all(line.isprintable() for line in lines)


@pytest.mark.parametrize("conf", ["console", "plain"])
def test_the_log_of_every_program_is_formatted_so(conf):
    text = yaml.safe_load((CONF / "hydra" / "job_logging" / f"{conf}.yaml").read_text())
    assert all(formatter["class"] == "gan.cli.logs.LineFormatter" for formatter in text["formatters"].values())


@pytest.fixture
def console_lines(monkeypatch):
    """What the console shows of lines that may be hidden from it: in a single run or a sweep, with or without a bar."""

    def show(has_bar, job):
        stream = io.StringIO()
        handler = Console(stream)
        handler.job = job
        monkeypatch.setattr(console, "has_progress_bar", lambda: has_bar)
        for extra in ({}, console.IN_SINGLE_RUN, console.WITHOUT_BAR, console.IN_FILE):
            record = logging.makeLogRecord({"msg": extra.get("where", "always"), **extra})
            handler.handle(record)
        return stream.getvalue().splitlines()

    return show


def test_a_pipe_has_a_line_for_each_logging_point_and_a_terminal_a_bar(console_lines):
    assert console_lines(False, "") == ["always", "single run", "no progress bar"]
    assert console_lines(True, "") == ["always", "single run"]


def test_a_job_of_a_sweep_says_little_and_after_its_name(console_lines):
    for has_bar in (False, True):
        assert console_lines(has_bar, "optim-sgd\x1b") == ["optim-sgd\\x1b: always"]
