"""Around Hydra: what goes wrong is said in one sentence. Imports no torch."""

import argparse
import contextlib
import errno
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from gan.cli.overrides import group_options
from gan.config.errors import ConfigError, first_line
from gan.system.rank import RANK


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Around Hydra: turn what it has against a command line into one sentence and exit code 1.

    What goes wrong in the work itself ends the program in `leave`. GAN_DEBUG=1 shows every traceback.
    """
    if os.environ.get("GAN_DEBUG"):
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra would print its own report and exit
    logging.raiseExceptions = False  # a full disk is said once, and not for each line of the log
    threading.excepthook = quiet_about_files
    argparse.ArgumentParser.error = refuse_flag
    try:
        yield
    except ConfigError as error:
        sys.exit(1 if RANK else str(error))  # number 0 of several processes says it for all
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        if isinstance(error.__cause__, OSError):  # what the log cannot be written to
            sys.exit(str(os_error_message(error.__cause__)))
        sys.exit(explain_error(error))
    except BrokenPipeError:  # who reads what is printed, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.exit(str(os_error_message(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def refuse_flag(_parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """In place of Hydra's own list of all its flags."""
    raise ConfigError(f"{message}; --help says what can be typed.")


def quiet_about_files(failure: threading.ExceptHookArgs) -> None:
    """What a thread could not write is raised again where it was asked for: nothing is said here of that."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)


def exit_with(error: Exception, where: Path | str = "a file") -> NoReturn:
    """End the program over what went wrong in its work: a refusal is one sentence, a bug is seen whole."""
    if not os.environ.get("GAN_DEBUG"):
        if isinstance(error, OSError):  # of this process alone, where there are several
            sys.exit(f"{f'process {RANK}: ' if RANK else ''}{os_error_message(error, where)}")
        if isinstance(error, ConfigError):  # of all of them, and number 0 says it
            sys.exit(1 if RANK else str(error))
    traceback.print_exception(error)
    sys.exit(1)


def os_error_message(error: OSError, where: Path | str = "a file") -> ConfigError:
    """What cannot be read or written, or what else a machine has too little of, in a sentence."""
    short_of_memory = error.errno == errno.ENOMEM
    what = "there is not enough memory" if short_of_memory else f"{error.filename or where} cannot be used"
    return ConfigError(f"{what}: {error.strerror or first_line(error)}.")


def explain_error(error: Exception) -> str:
    """Hydra's or OmegaConf's complaint in one sentence: what came, and what is allowed."""
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read: it should be name=value, and a value with unusual signs in it wants "
            "quotes of its own."
        )
    said = first_line(error)
    if said.startswith("Ambiguous value"):  # Hydra's word for a comma
        typed = said.partition("'")[2].rstrip("'")
        return f"{typed} has a comma: say -m for a sweep, [...] for a list, or put the value in quotes."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.partition("/")
        if known := group_options(group):
            return f"{group}={name} is not known: {group} can be {known}."
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    # A key that is not there; a reference that leads nowhere has its own words.
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and cause.parent_node is not None:
        parent, key = cause.parent_node, cause.full_key or cause.key
        if isinstance(parent, DictConfig) and cause.key not in parent:
            return f"{key} is not a setting; there are {', '.join(map(str, parent)) or 'none'}."
    why = f": {first_line(cause)}" if cause is not None and cause is not error else ""
    return f"{said}{why}."
