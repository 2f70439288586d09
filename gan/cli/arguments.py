"""Mistakes on the command line that need no composed configuration, each with the line to type. Imports no torch."""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser  # the parser of hydra.main itself
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from gan.cli.completion import complete_options
from gan.cli.overrides import quote, quote_override, shell_line
from gan.config import CONF, options
from gan.config.comparison import flatten
from gan.config.errors import ConfigError, shell_words
from gan.config.suggestions import known_settings, nearest_options, nearest_settings

PROGRAMS = {"train": "train.py", "sample": "sample.py", "evaluate": "gan.evaluate", "data": "gan.data"}
PARAMS = "hydra.sweeper.params"


def check_arguments(arguments: list[str], program: str) -> list[str]:
    """The command line of train.py, sample.py or gan.evaluate, after `program`, as the other code reads it.

    Raises ConfigError for what Hydra would explain badly, or do although nobody can mean it.
    """
    parser = get_args_parser()
    try:
        args = parser.parse_intermixed_args(arguments)
    except ConfigError as error:  # of `messages.parser_error`
        raise flags_error(arguments, parser, program) or error from error
    search_folders(args)
    if args.shell_completion:
        complete_options(parser, search_folders)
        return arguments
    check_flags(args, program)
    flags = list(arguments)
    for text in args.overrides:
        flags.remove(text)
    check_words(args.overrides, flags, program)
    check_repeated(args.overrides)
    overrides = [each for text in args.overrides for each in plain_params(text)]
    typed = {override.key_or_group: override.value() for override in map(parse, overrides) if override}
    check_folders(typed if "resume" not in typed else {})
    return [*flags, *overrides]


def search_folders(args: Any) -> None:
    """Let the options of the groups include those in the folders that the command line names."""
    typed = {override.key_or_group: override.value() for override in map(parse, args.overrides) if override}
    searched = typed.get("hydra.searchpath")
    searched = searched if isinstance(searched, list) else []
    folders = [*filter(None, [args.config_dir]), *(str(path).removeprefix("file://") for path in searched)]
    options.own_folders[:] = [Path(folder).absolute() for folder in folders]


def flags_error(arguments: list[str], parser: ArgumentParser, program: str) -> ConfigError | None:
    """The error for settings that are typed as flags, such as `--lr 0.1`, if there are any."""
    words, found, rest = [], [], list(arguments)
    while rest:
        word = rest.pop(0)
        match = re.fullmatch(r"-{1,2}([A-Za-z][\w./-]*)(?:=(.*))?", word)
        if not match or is_flag(word.partition("=")[0], parser):
            words.append(shell_words(word))
            continue
        value = match[2]
        if value is None and rest and "=" not in rest[0] and re.match(r"[^-]|-\.?\d", rest[0]):
            value = rest.pop(0)
        corrected = correct(match[1], value, program)
        if not corrected:
            return None
        found.append(word)
        words.append(corrected)
    line = f"{shell_line(PROGRAMS[program])} {' '.join(words)}"
    return ConfigError(f"{found[0]}: settings have no dashes; type {line} instead.") if found else None


def is_flag(word: str, parser: ArgumentParser) -> bool:
    """Whether the parser knows a flag, which may be the beginning of a long one."""
    known = parser._option_string_actions
    return word in known or (word.startswith("--") and any(flag.startswith(word) for flag in known))


def correct(name: str, value: str | None, program: str) -> str:
    """A setting as it is typed in a shell, under the nearest name that exists; empty where there is none."""
    settings = options.default_settings(program)
    if value is None:
        value = "true" if isinstance(flatten(settings).get(name), bool) else "VALUE"
    word = f"{name}={value}" if parse(f"{name}={value}") else quote_override(name, value)
    if name in known_settings(settings, False):
        return shell_words(word)
    return next(iter(nearest_settings(name, word.partition("=")[2], settings)), "")


def check_flags(args: Any, program: str) -> None:
    """Raise ConfigError for flags of Hydra that do not go with this project's programs."""
    name = str(args.config_name or program).removesuffix(".yaml")
    own = ", ".join(sorted(path.stem for folder in options.own_folders for path in folder.glob("*.yaml")))
    is_own = any((folder / f"{name}.yaml").exists() for folder in options.own_folders)
    if name != program and not is_own and args.config_path is None:
        names = f"{program}{f' or one of {own}' if own else ', or a file of your own in --config-dir'}"
        raise ConfigError(f"--config-name {name}: must be {names}.")
    if args.package and not args.cfg:
        raise ConfigError(f"--package {args.package}: only with --cfg, as in --cfg job --package {args.package}.")
    if args.experimental_rerun:
        raise ConfigError("--experimental-rerun: not possible; to resume a run, type resume=RUN.")


def check_words(overrides: list[str], flags: list[str], program: str) -> None:
    """Raise ConfigError for words that are not name=value as Hydra reads them, with the line that is probably meant."""
    joined = overrides
    if any(word[:1] == "=" or is_bare(word) for word in overrides):
        joined = join_words(overrides, known_settings(options.default_settings(program), False))
    words = [readable(word, program) for word in joined]
    if words == overrides:
        return
    wrong = next((text for text in overrides if text not in words), overrides[0])
    if any(parse(word) is None and not takes_folder(word) for word in words):
        raise ConfigError(f"{wrong!r}: must be name=value; see --help.")
    line = shell_line(PROGRAMS[program], *flags, *words)
    raise ConfigError(f"{wrong!r}: must be name=value, with quotes around special characters; type {line} instead.")


def join_words(overrides: list[str], names: Collection[str]) -> list[str]:
    """The overrides, with those joined that a space has parted: `model = mlp`, `trick=[r1, r2]`, `path=my images`."""
    joined: list[str] = []
    for word in overrides:
        continues = is_bare(word) and word not in names and joined and ("=" in joined[-1] or joined[-1] in names)
        if continues or (joined and word[:1] == "="):
            joined[-1] = re.sub(r"^([\w./]+)(\s*=\s*|\s+)", r"\1=", f"{joined[-1]} {word}")
        else:
            joined.append(word)
    return joined


def check_repeated(overrides: list[str]) -> None:
    """Raise ConfigError for `trick=r1 trick=r2`, of which Hydra would take the last alone."""
    for group in options.MULTIPLE_CHOICE:
        names = [word.partition("=")[2] for word in overrides if re.fullmatch(rf"{group}=[\w/]+", word)]
        if len(names) > 1:
            line = shell_words(f"{group}=[{','.join(names)}]")
            raise ConfigError(f"{group}={names[-1]}: would replace {group}={names[0]}; type {line} instead.")


def is_bare(word: str) -> bool:
    """Whether a word has no value, and deletes nothing."""
    return "=" not in word and word[:1] != "~"


def readable(word: str, program: str) -> str:
    """An override as Hydra can read it, if that can be guessed; as it is if it already can."""
    if is_bare(word):
        if program != "train":
            return f"run={word}"
        near = nearest_options("", word, "", ())
        return shlex.split(near[0])[0] if near else word
    name, _, value = word.partition("=")
    if value[:1] == "~" and re.match(r"~(/|$)", value):
        return quote_override(name, str(Path(value).expanduser()))
    if parse(word) or takes_folder(word):
        return word
    if name in options.MULTIPLE_CHOICE:
        return f"{name}=[{','.join(re.findall(r'[/a-z0-9_]+', value))}]"
    default = flatten(options.default_settings(program)).get(name)
    bare = value.strip("[](){},;= ")
    candidates = [f"{word}]", f"{name}=[{bare}]"] if isinstance(default, list) else [f"{name}={bare}"]
    is_plain = isinstance(default, (int, float, list)) or options.option_files(name)
    found = next((each for each in candidates if parse(each)), None)
    return found if is_plain and found else f"{name}={quote(value)}"


def takes_folder(word: str) -> bool:
    """Whether an override is `resume=RUN`, whose folder may have any name."""
    return word.startswith("resume=")


def parse(word: str) -> Any:
    """An override as Hydra reads it; None where it cannot, or has no name."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return None
    return override if override.key_or_group else None


def plain_params(text: str) -> list[str]:
    """`hydra.sweeper.params.seed=1,2` as `seed=1,2`, which means the same; any other override as it is."""
    override = parse(text)
    if override is None or not re.match(rf"{re.escape(PARAMS)}(\.|$)", override.key_or_group):
        return [text]
    name = override.key_or_group.removeprefix(PARAMS).lstrip(".")
    value = override.value()
    if name:
        return [f"{name}={value if isinstance(value, str) else text.partition('=')[2]}"]
    return [f"{key}={values}" for key, values in value.items()] if isinstance(value, dict) else [text]


def check_folders(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings of Hydra with which a run would write its files among others."""
    if settings.get("hydra.job.chdir"):
        raise ConfigError("hydra.job.chdir=true: must be false; a run leaves the current folder as it is.")
    for setting in ("hydra.run.dir", "hydra.sweep.dir"):
        if setting in settings and is_shared(str(settings[setting] or "")):
            raise ConfigError(f"{setting}={settings[setting] or ''}: must be a folder of its own, as outputs/NAME is.")
    if "hydra.sweep.subdir" in settings and str(settings["hydra.sweep.subdir"] or ".") == ".":
        raise ConfigError("hydra.sweep.subdir=: must be a folder of its own for each job; leave it out.")


def is_shared(folder: str) -> bool:
    """Whether the current folder or the project is that folder, or in it."""
    path = Path(folder).resolve()
    return any(place.is_relative_to(path) for place in (Path.cwd(), CONF.parent.resolve()))
