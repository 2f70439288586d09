"""The exception for what a user can fix, and the wording that its messages share."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from gan.config import CONF
from gan.config.renamed import RENAMED

MAX_LIST = 250  # characters of a list of choices in a message


class ConfigError(Exception):
    """A user error. The message is one sentence: what came, and what is allowed."""


def invalid_value(setting: str, value: Any, requirement: str) -> ConfigError:
    """An error such as `train.batch_size=0: must be > 0.`"""
    override = f"{setting}={format_value(value)}"
    return ConfigError(RENAMED.get(override, f"{override}: must be {requirement}."))


class UnknownSetting(ConfigError):
    """An error for a setting that does not exist; `suggesting` adds what was probably meant."""

    def __init__(self, setting: str, problem: str, known: Iterable[Any] = ()) -> None:
        self.setting, self.problem, self.known = setting, problem, known
        super().__init__(sentence(f"{setting}: {problem}", (), known))

    def suggesting(self, near: Sequence[str]) -> ConfigError:
        return ConfigError(sentence(f"{self.setting}: {self.problem}", near, self.known))


def unknown_setting(setting: str, known: Iterable[Any] = (), target: str = "") -> ConfigError:
    """An error for a setting that does not exist, or that is not an argument of `target`; `known` are those that do."""
    if setting in RENAMED:
        return ConfigError(RENAMED[setting])
    group, _, name = setting.partition(".")
    if group == "trick" and (CONF / "trick" / f"{name}.yaml").exists():
        return UnknownSetting(setting, f"needs trick=[{name}]")
    return UnknownSetting(setting, f"not an argument of {target}" if target else "no such setting", known)


def sentence(problem: str, near: Sequence[str], known: Iterable[Any]) -> str:
    """An error with what to type instead, and what is allowed where that is not long."""
    names = ", ".join(name for name in map(str, known) if not name.startswith("_"))
    if len(names) > MAX_LIST:
        names = ""
    advice = [f"type {' or '.join(near)} instead"] if near else []
    advice += [f"choose from {names}"] if names else []
    return "; ".join([problem, ", or ".join(advice)] if advice else [problem]) + "."


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
