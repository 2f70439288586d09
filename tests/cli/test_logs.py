"""The log: a line for each record, without control characters."""

import logging
import sys

import pytest
import yaml

from gan.cli.logs import LineFormatter
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
