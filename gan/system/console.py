"""What a person reads on the console: which lines of the log, and the form of labeled lines and of times."""

import multiprocessing
import os
import sys
import textwrap

# For `log.info(..., extra=...)`: where a line of the log file is on the console too. Without it, always.
IN_SINGLE_RUN = {"where": "single run"}  # and not in a sweep
WITHOUT_BAR = {"where": "no progress bar"}  # in a single run without a progress bar
IN_FILE = {"where": "file"}  # not on the console
LABEL, WIDTH = 17, 100  # columns of a label, and of a whole line


def has_progress_bar() -> bool:
    """Whether the console is a terminal that this process does not share with other jobs of a sweep."""
    try:
        is_terminal = sys.stdout.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # no terminal, or a closed one
        return False
    return is_terminal and multiprocessing.parent_process() is None


def labeled(label: str, text: str) -> str:
    """`text` beside its label, as a line of a block of such lines."""
    return f"  {label}".ljust(LABEL) + text


def wrapped(line: str) -> list[str]:
    """A labeled line as lines of at most WIDTH columns. What has no spaces, such as a path, is not cut."""
    indent = " " * LABEL
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def format_seconds(seconds: float) -> str:
    """A time as `4.2 s`, `42 s`, `2 min 05 s` or `3 h 20 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
