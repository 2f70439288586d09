"""The one exception that is the user's to mend, and what others say in a line."""


class ConfigError(Exception):
    """What was asked cannot be done. The message is one sentence: what came, and what is allowed."""


def first_line(error: Exception) -> str:
    """The first line of an error, as the end of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")
