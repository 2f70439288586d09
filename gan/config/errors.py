"""The exception for what a user can fix, and the wording that its messages share."""

import json
import re
import shlex
from collections.abc import Iterable
from typing import Any

from gan.config import CONF
from gan.config.renamed import RENAMED


class ConfigError(Exception):
    """A user error. The message is one sentence: what came, and what is allowed."""


def invalid_value(setting: str, value: Any, requirement: str) -> ConfigError:
    """An error such as `train.batch_size=0: must be > 0.`"""
    override = f"{setting}={format_value(value)}"
    return ConfigError(RENAMED.get(override, f"{override}: must be {requirement}."))


def unknown_setting(setting: str, known: Iterable[Any] = (), target: str = "") -> ConfigError:
    """An error for a setting that does not exist, or that is not an argument of `target`; `known` are those that do."""
    if setting in RENAMED:
        return ConfigError(RENAMED[setting])
    group, _, name = setting.partition(".")
    if group == "trick" and (CONF / "trick" / f"{name}.yaml").exists():
        return ConfigError(f"{setting}: needs trick=[{name}].")
    problem = f"not an argument of {target}" if target else "no such setting"
    names = ", ".join(map(str, known))
    return ConfigError(f"{setting}: {problem}{f'; choose from {names}' if names else ''}.")


def shell_words(*words: str) -> str:
    """Words as a shell reads them, in double quotes where they have single ones."""
    return " ".join(
        f'"{word}"' if "'" in word and not re.search(r'["\\$`!]', word) else shlex.quote(word) for word in words
    )


def format_value(value: Any) -> str:
    """A value as it is typed on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def first_line(error: Exception) -> str:
    """The first line of an error's message, without its period."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")


def printable(text: object, keep: str = "") -> str:
    """Text from a file or a name, for output: what could steer a terminal or fake a line is shown as an escape.

    That is all that is neither visible nor a space: control characters, direction marks and bytes that are not UTF-8.

    Args:
        keep: characters that stay all the same, such as the newlines of a traceback.
    """
    characters = (
        character if character.isprintable() or character in keep else repr(character)[1:-1] for character in str(text)
    )
    return "".join(characters)
