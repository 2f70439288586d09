"""The handler and the formatter of the log, as conf/ names them."""

import logging
import os
from pathlib import Path
from typing import Any

from gan.config.errors import printable
from gan.system import files


class LineFormatter(logging.Formatter):
    """One line for each record, and the lines of its traceback. Control characters are shown as escapes."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return printable(super().formatException(ei), keep="\n")


class RunLogFile(logging.FileHandler):
    """The log file in a run folder. It is opened before the run itself can look at the folder.

    Raises ConfigError where a link leads out of the folder, and OSError where the file cannot be opened.
    """

    def _open(self) -> Any:
        files.check_links(Path(self.baseFilename).parent)
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=open_without_waiting)


def open_without_waiting(path: str, flags: int) -> int:
    """As os.open, but an error for a pipe that nobody reads."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
