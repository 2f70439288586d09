"""The log: a line for each record, without control characters."""

import logging

import pytest
import yaml

from gan.cli.logs import LineFormatter
from tests.conftest import CONF

NASTY = "a\x1b[2Jb\r\nc\u202e\udcfc"


def test_the_log_has_a_line_for_each_record_without_control_characters(caplog):
    log = logging.getLogger("gan.test")
    with caplog.at_level("INFO"):
        log.warning("left out %s", NASTY)
    line = LineFormatter("%(message)s").format(caplog.records[-1])
    assert line.isprintable() and "\\x1b[2J" in line
    try:
        raise ValueError(NASTY)
    except ValueError:
        log.exception("bug")
    caplog.records[-1].exc_text = None  # as pytest formatted it
    lines = LineFormatter("%(message)s").format(caplog.records[-1]).splitlines()
    assert len(lines) > 2 and all(line.isprintable() for line in lines)


@pytest.mark.parametrize("conf", ["console", "plain"])
def test_the_log_of_every_program_is_formatted_so(conf):
    text = yaml.safe_load((CONF / "hydra" / "job_logging" / f"{conf}.yaml").read_text())
    assert all(formatter["class"] == "gan.cli.logs.LineFormatter" for formatter in text["formatters"].values())
