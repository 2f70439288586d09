"""The handlers and the formatter of the log, as conf/ names them."""

import logging
import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from tqdm import tqdm

from gan.config.errors import printable
from gan.system import console, files


class LineFormatter(logging.Formatter):
    """One line for each record, and the lines of its traceback. Control characters are shown as escapes."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return printable(super().formatException(ei), keep="\n")


class Console(logging.StreamHandler):
    """The console: lines above a progress bar. In a sweep, only what each job has to say, after the job's name."""

    def __init__(self, stream: Any = None) -> None:
        super().__init__(stream)
        self.job = ""  # of a sweep
        if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
            self.job = Path(HydraConfig.get().runtime.output_dir).name

    def emit(self, record: logging.LogRecord) -> None:
        where = getattr(record, "where", None)
        has_bar = where == console.WITHOUT_BAR["where"] and console.has_progress_bar()
        if where == console.IN_FILE["where"] or has_bar or (where and self.job):
            return
        with tqdm.external_write_mode(self.stream):  # the bar is cleared, and drawn again below
            super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{printable(self.job)}: {text.strip()}" if self.job else text


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
