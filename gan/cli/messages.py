"""Errors of the programs, each in one sentence and with its exit code. Imports no torch."""

import argparse
import contextlib
import errno
import io
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from gan.cli.overrides import group_options
from gan.config.errors import ConfigError, first_line, printable, unknown_setting
from gan.config.renamed import RENAMED
from gan.system import signals
from gan.system.rank import RANK

CLOSED = {errno.EPIPE, errno.EIO}  # from a pipe without a reader, and a terminal that is gone


class Console(io.FileIO):
    """Standard output or error, which takes in silence what nobody can read any more, as after `| head`."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            if error.errno not in CLOSED:
                raise
            return memoryview(data).nbytes


def outlive_console() -> None:
    """Let the program go on where the reader of its output, such as `head` or a terminal, is gone."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = getattr(stream, "buffer", None)
        if type(getattr(buffer, "raw", buffer)) is not io.FileIO:  # a notebook's, a test's or Windows' own
            continue
        stream.flush()
        console = Console(stream.fileno(), "w", closefd=False)
        options = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": stream.line_buffering}
        if stream.write_through:  # python -u
            setattr(sys, name, io.TextIOWrapper(console, **options, write_through=True))
        else:
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(console), **options))


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Around a program: turn errors of the command line, and Hydra's, into one sentence and exit code 1.

    Errors of the work itself end the program in `exit_with`. GAN_DEBUG=1 shows every traceback.
    """
    outlive_console()
    if os.environ.get("GAN_DEBUG"):
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra would print its own report and exit
    logging.raiseExceptions = False  # or a full disk would be reported for each line of the log
    threading.excepthook = ignore_os_errors
    argparse.ArgumentParser.error = parser_error  # type: ignore[method-assign, assignment]  # Hydra makes the parser
    try:
        with signals.interruptions():
            yield
    except ConfigError as error:
        sys.exit(1 if RANK else printable(error))  # rank 0 prints it for all processes
    except (HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        if override := failed_override(error):
            sys.exit(printable(f"{override}: no such setting; a list is set as a whole, as in NAME=[1,2]."))
        if isinstance(error, TypeError):  # a bug
            raise
        cause = error.__cause__
        if isinstance(cause, (OSError, ConfigError)):  # the log file cannot be opened
            sys.exit(printable(os_error_message(cause) if isinstance(cause, OSError) else cause))
        sys.exit(printable(explain_error(error)))
    except (OSError, MemoryError) as error:
        sys.exit(printable(os_error_message(error)))
    except KeyboardInterrupt as error:
        sys.exit(128 + getattr(error, "signal", signal.SIGINT))


def failed_override(error: Exception) -> str | None:
    """The override that Hydra was applying when a name in it did not fit, of which Hydra says nothing itself.

    That is one that leads into a list, such as `model.generator.hidden.a=1`.
    """
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    found = (frame.f_locals.get("override") for frame, _ in traceback.walk_tb(error.__traceback__))
    return next((override.input_line for override in found if isinstance(override, Override)), None)


def parser_error(_parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """In place of Hydra's usage message, which lists all its flags."""
    raise ConfigError(f"{message}; see --help.")


def ignore_os_errors(failure: threading.ExceptHookArgs) -> None:
    """Print a thread's error unless it is an OSError, which is raised again in the main thread."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)


def exit_with(error: Exception, path: Path | str = "a file") -> NoReturn:
    """End the program after an error: a ConfigError or OSError is printed as one sentence, a bug with its traceback."""
    if not os.environ.get("GAN_DEBUG"):
        if isinstance(error, (OSError, MemoryError)):  # which may concern one of several processes only
            sys.exit(printable(f"{f'process {RANK}: ' if RANK else ''}{os_error_message(error, path)}"))
        if isinstance(error, ConfigError):  # which all processes have; rank 0 prints it
            sys.exit(1 if RANK else printable(error))
    print(printable("".join(traceback.format_exception(error)), keep="\n"), end="", file=sys.stderr)
    sys.exit(1)


def os_error_message(error: OSError | MemoryError, path: Path | str = "a file") -> ConfigError:
    """The file that cannot be read or written, or the lack of memory, in one sentence."""
    if isinstance(error, MemoryError):
        return ConfigError(f"not enough memory: {first_line(error)}.")
    out_of_memory = error.errno == errno.ENOMEM
    problem = "not enough memory" if out_of_memory else f"{error.filename or path} cannot be used"
    return ConfigError(f"{problem}: {error.strerror or first_line(error)}.")


def explain_error(error: Exception) -> str:
    """An error of Hydra or OmegaConf in one sentence: what came, and what is allowed."""
    if isinstance(error, OverrideParseException):
        return f"{error.override!r}: must be name=value; quote a value that has special characters."
    message = first_line(error)
    if message.startswith("Ambiguous value"):  # Hydra's message for a comma
        argument = message.partition("'")[2].rstrip("'")
        return f"{argument}: has a comma; add -m for a sweep, [...] for a list, or quote the value."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.partition("/")
        if options := group_options(group):
            return RENAMED.get(f"{group}={name}", f"{group}={name}: no such option; choose from {options}.")
    setting = re.match(r"Could not .*'([\w.]+)'", message)  # override it, or delete it
    if setting and setting[1] in RENAMED:
        return RENAMED[setting[1]]
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    # A missing key; a reference to one is explained by OmegaConf's own message.
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and cause.parent_node is not None:
        parent, key = cause.parent_node, cause.full_key or cause.key
        if isinstance(parent, DictConfig) and cause.key not in parent:
            return str(unknown_setting(str(key), parent))
    reason = f": {first_line(cause)}" if isinstance(cause, Exception) and cause is not error else ""
    return f"{message}{reason}."
