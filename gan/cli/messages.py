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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from gan.cli.overrides import quote_override, single_choice
from gan.config import IS_INSTALLED
from gan.config.comparison import flatten
from gan.config.errors import (
    ConfigError,
    UnknownSetting,
    first_line,
    printable,
    sentence,
    shell_words,
    unknown_setting,
)
from gan.config.options import MULTIPLE_CHOICE, default_settings, option_files
from gan.config.renamed import RENAMED
from gan.config.suggestions import nearest_options, nearest_settings
from gan.system import signals
from gan.system.rank import RANK

PACKAGES = {  # that have Hydra's options for a launcher or a sweeper
    "submitit_slurm": "hydra-submitit-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "optuna": "hydra-optuna-sweeper",
}
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
        is_hydras = isinstance(error, (HydraException, OmegaConfBaseException))
        # of a name that leads into a list, such as `model.generator.hidden.a=1`, Hydra says nothing itself
        if not is_hydras and (failed := failed_override(error)):
            sys.exit(printable(f"{failed[0].input_line}: no such setting; a list is set as a whole, as in NAME=[1,2]."))
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


def failed_override(error: Exception) -> tuple[Override, DictConfig] | None:
    """The override that Hydra was applying when an error was raised, and the configuration that it should change."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        override, cfg = (frame.f_locals.get(name) for name in ("override", "cfg"))
        if isinstance(override, Override) and isinstance(cfg, DictConfig):
            return override, cfg
    return None


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
        return comma_message(message.partition("'")[2].rstrip("'"))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.partition("/")
        if not option_files(group):  # one of Hydra's, such as hydra/launcher
            group, _, name = error.missing_cfg_file.rpartition("/")
        if group:
            return RENAMED.get(f"{group}={name}") or unknown_option(group, name, error.options or ())
    setting = re.match(r"Could not .*'([\w.]+)'", message)  # override it, or delete it
    if setting and setting[1] in RENAMED:
        return RENAMED[setting[1]]
    failed = failed_override(error)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if failed and failed[0].is_delete() and setting:
        return deletion_message(setting[1], failed[1])
    # A missing key; a reference to one is explained by OmegaConf's own message.
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and cause.parent_node is not None:
        parent, key = cause.parent_node, cause.full_key or cause.key
        if isinstance(parent, DictConfig) and cause.key not in parent:
            unknown = unknown_setting(str(key), [name for name in parent if name != "hydra"])
            if failed is None or not isinstance(unknown, UnknownSetting):
                return str(unknown)
            override, cfg = failed
            settings: Any = OmegaConf.to_container(cfg, resolve=False)
            value = typed_word(override.key_or_group, str(override.input_line)).partition("=")[2]
            return str(unknown.suggesting(nearest_settings(override.key_or_group, value, settings)))
    reason = f": {first_line(cause)}" if isinstance(cause, Exception) and cause is not error else ""
    return f"{message}{reason}."


def comma_message(argument: str) -> str:
    """What a comma may mean without -m: a list, or a sweep."""
    name, _, value = argument.partition("=")
    in_list = shell_words(f"{name}=[{value}]")
    sweep = f"-m {shell_words(argument)} for a run of each"
    if name in MULTIPLE_CHOICE:
        return f"{argument}: has a comma; type {in_list} for all in one run, or {sweep}."
    default = flatten(default_settings("train")).get(name, "")
    if option_files(name) or not isinstance(default, (str, list)):
        return f"{argument}: has a comma; type {sweep}."
    one = in_list if isinstance(default, list) else shell_words(quote_override(name, value))
    return f"{argument}: has a comma; type {one} for one value, or {sweep}."


def deletion_message(setting: str, cfg: DictConfig) -> str:
    """Why `~setting` is not possible. Hydra says that a setting that is null does not exist."""
    parent, _, name = setting.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    if isinstance(node, DictConfig) and name in node:
        return f"~{setting}: a setting cannot be removed; type {setting}=null for none."
    return str(UnknownSetting(f"~{setting}", "no such setting"))


def unknown_option(group: str, name: str, found: Sequence[str]) -> str:
    """The message for an option that a group does not have, with what to type for it."""
    if name in PACKAGES:
        install = "classic-gans[sweeps]" if IS_INSTALLED else "-r requirements-sweeps.txt"
        return f"{group}={name}: needs the package {PACKAGES[name]}; type pip install {install}."
    known = list(option_files(group)) or sorted(found)
    near = nearest_options(group, name, typed_word(group, f"{group}={name}"), known)
    return sentence(f"{group}={name}: no such option", near, known)


def typed_word(setting: str, default: str) -> str:
    """The override of a setting or a group as it was typed, with all values of a sweep; or else the default."""
    found = [word for word in sys.argv[1:] if word.lstrip("+").startswith(f"{setting}=")]
    return single_choice(found[-1]).lstrip("+") if found else default
