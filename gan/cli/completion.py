"""What the tab key completes, where Hydra's completion does not: options in folders, and after words in quotes."""

import contextlib
import os
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from gan.config.errors import ConfigError
from gan.config.options import option_files


def complete_options(parser: ArgumentParser, search: Callable[[Any], None]) -> None:
    """Print the options that begin like the word at the end of COMP_LINE, and exit; or prepare that line for Hydra.

    Hydra splits it at spaces, takes quotes for part of a word, and lists no options in folders such as `blog/mlp`.

    Args:
        search: adds the folders of the user's own that the flags of that line name.
    """
    head, _, last = os.environ.get("COMP_LINE", "").rpartition(" ")
    try:
        words = shlex.split(head)
    except ValueError:  # a quote that is not closed yet
        return
    with contextlib.suppress(ConfigError):
        search(parser.parse_intermixed_args([word for word in words[1:] if not word.endswith(".py")]))
    group, _, begun = last.partition("=")
    start = max(begun.rfind("["), begun.rfind(",")) + 1  # of an option in a list
    if "=" in last and option_files(group):
        names = [name for name in option_files(group) if name.startswith(begun[start:])]
        print("\n".join(f"{group}={begun[:start]}{name}" for name in names))
        sys.exit()
    os.environ["COMP_LINE"] = " ".join([*(word for word in words if " " not in word), last])
