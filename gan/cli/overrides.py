"""The command line before Hydra reads it: help, resume=RUN, options of groups. Imports no torch."""

import atexit
import re
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser  # the parser of hydra.main itself
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException

from gan.config import CONF, IS_INSTALLED
from gan.config.errors import MAX_LIST, ConfigError, shell_words
from gan.config.options import MULTIPLE_CHOICE, matching_options, option_files
from gan.config.renamed import RENAMED
from gan.system import files, rank

# Settings that do not define a run: they are no part of its name, nor of what is compared between runs.
OPERATIONAL = {"resume", "retry", "trust", "data_dir", "cache_dir", "threads"}
NO_EPOCHS = "train.epochs=null"  # added where train.max_steps is to decide alone
CONFIG_NAME = "train"  # of the YAML file of train.py, unless --config-name names one of the user's own


def print_help(program: str) -> None:
    """With --help on the command line: print the program's text from conf/help, and exit.

    Hydra's own help composes the configuration once for each group, which takes a second.
    """
    if not {"--help", "-h"} & set(sys.argv[1:]):
        return
    groups = sorted(path.name for path in CONF.iterdir() if path.name not in ("help", "hydra") and path.is_dir())
    lines = [textwrap.fill(f"{group}: {group_options(group)}", 110, subsequent_indent="  ") for group in groups]
    # without the defaults list at its start and Hydra's settings at its end
    _, *settings, _ = (CONF / f"{program}.yaml").read_text("utf-8").split("\n\n")
    text = (CONF / "help" / f"{program}.txt").read_text("utf-8")
    text = text.format(groups="\n".join(lines), settings="\n\n".join(settings))
    print(re.sub(r"(\bpython |=2 )(train|sample)\.py\b", r"\1-m gan \2", text) if IS_INSTALLED else text, end="")
    sys.exit()


def parse_arguments(arguments: list[str]) -> list[str]:
    """The command line of train.py as Hydra should read it. Raises ConfigError for errors that Hydra explains badly."""
    args = get_args_parser().parse_intermixed_args(arguments)  # -m may be anywhere
    flags = list(arguments)
    for override in args.overrides:
        flags.remove(override)
    if args.multirun and any(text.startswith("resume=") for text in args.overrides):
        raise ConfigError("resume=RUN: not possible with -m, which starts a sweep.")
    typed = with_steps_alone(expand_globs(args.overrides))
    overrides = resume_overrides(typed, args.config_dir, args.config_name)
    if rank.RANK:  # only rank 0 writes; the files of the others are deleted
        unused = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, unused, ignore_errors=True)
        overrides += [f"hydra.run.dir={unused}", "hydra/job_logging=disabled"]
    for text, override in zip(overrides, OverridesParser.create().parse_overrides(overrides), strict=True):
        check_choice(text, override)
    return [*flags, *(map(defer_check, overrides) if args.multirun else overrides)]


def with_steps_alone(typed: list[str]) -> list[str]:
    """The overrides, with NO_EPOCHS where train.max_steps is typed without train.epochs and thus decides alone.

    Also with resume=RUN, whose own overrides are not typed. Null among the values of max_steps needs the epochs.
    """
    settings = parse_settings([text for text in typed if not text.startswith("resume=")])
    steps = settings.get("train.max_steps")
    needs_epochs = steps is None or (isinstance(steps, ChoiceSweep) and None in steps.list)
    return typed if needs_epochs or "train.epochs" in settings else [*typed, NO_EPOCHS]


def defer_check(text: str) -> str:
    """In a sweep: a setting of a group as `name=choice(value)`, a sweep of one value; any other override as it is.

    Hydra checks what is not swept against the default options of the groups, and what is swept against each job's.
    """
    parser = OverridesParser.create()
    override = parser.parse_override(text)
    group, _, setting = override.key_or_group.partition(".")
    if not setting or not group_options(group) or override.is_sweep_override() or override.is_delete():
        return text
    deferred = f"{override.get_key_element()}=choice({override.get_value_element_as_str()})"
    try:
        same = parser.parse_override(single_choice(deferred)).value() == override.value()
    except HydraException:  # no value, as in `name=`
        same = False
    return deferred if same else text


def single_choice(text: str) -> str:
    """The override `name=value` for `name=choice(value)`; any other one as it is."""
    override = OverridesParser.create().parse_override(text)
    sweep = override.value()
    if not isinstance(sweep, ChoiceSweep) or sweep.simple_form or len(sweep.list) != 1:
        return text
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


def parse_settings(overrides: list[str]) -> dict[str, Any]:
    """Every setting that the overrides name, with its value; also those within a value such as `{lr: 0.1}`."""

    def below(name: str, value: Any) -> dict[str, Any]:
        inner = [below(f"{name}.{key}", child) for key, child in value.items()] if isinstance(value, dict) else []
        return {name: value} | {setting: child for settings in inner for setting, child in settings.items()}

    parsed = OverridesParser.create().parse_overrides(overrides)
    parts = [below(override.key_or_group, override.value()) for override in parsed]
    return {setting: value for settings in parts for setting, value in settings.items()}


def check_choice(argument: str, override: Override) -> None:
    """Raise ConfigError where the value for a group cannot be the name of an option."""
    group = override.key_or_group
    if not group_options(group):
        return
    several = group in MULTIPLE_CHOICE
    if override.is_add() or override.is_delete():
        raise ConfigError(
            f"{argument}: not possible; {group}=... replaces the choice{f', {group}=[] empties it' if several else ''}."
        )
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    names = [name for each in values for name in (each if isinstance(each, list) and several else [each])]
    if not all(isinstance(name, (str, Glob)) for name in names) or isinstance(value, RangeSweep):
        known = group_options(group)
        allowed = known if len(known) <= MAX_LIST else "the name of an option, as in --help"
        raise ConfigError(f"{argument}: must be {allowed}{', or a list of these' if several else ''}.")


def group_options(group: str) -> str:
    """The options of one of our groups, separated by commas; empty for other groups."""
    return ", ".join(option_files(group))


def resume_overrides(overrides: list[str], config_dir: str | None = None, config_name: str | None = None) -> list[str]:
    """The overrides; with resume=RUN among them, after those that RUN was started with, so that they take precedence.

    Raises ConfigError if RUN is no run folder, or if its overrides would do what only the command line may, and OSError
    if they cannot be read.

    Args:
        config_dir, config_name: what was typed for these flags; the saved overrides may name options in the folder.
    """
    folders = [override.removeprefix("resume=") for override in overrides if override.startswith("resume=")]
    if not folders or folders[-1] == "null":
        return overrides
    parser = OverridesParser.create()
    name = folders[-1]
    if name[:1] in ("'", '"') and not Path(name).exists():  # in quotes, for special characters
        name = str(parser.parse_override(f"resume={name}").value())
    if not name:
        raise ConfigError("resume=: must be the folder of a run.")
    folder = Path(name)
    files.check_links(folder)
    others = [override for override in overrides if not override.startswith("resume=")]
    typed = parse_settings(others)
    if Path(str(typed.get("hydra.run.dir", folder))).resolve() != folder.resolve():
        raise ConfigError(
            f"resume={folder}: continues in that folder; to continue in another one, copy it there first."
        )
    try:
        lines = files.read_yaml(folder / ".hydra" / "overrides.yaml") or []
        saved = list(zip(lines, parser.parse_overrides(lines), strict=True))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, AttributeError, HydraException) as error:
        if not folder.is_dir() and (folder.suffix == ".safetensors" or folder.parts[:1] == ("zoo",)):
            raise ConfigError(
                f"resume={folder}: is a generator alone, which has no training to go on with; type "
                f"{shell_words(quote_override('init_from', name))} to start a new run from its weights."
            ) from error
        raise ConfigError(
            f"resume={folder}: must be a run folder; it has no readable .hydra/overrides.yaml."
        ) from error
    check_own_yaml(folder, config_dir, config_name)
    replaced = {"resume", "trust", *typed}
    kept = [(text, override) for text, override in saved if override.key_or_group not in replaced]
    for text, override in kept:
        if override.key_or_group in RENAMED or not is_safe(override, config_dir is not None):
            raise ConfigError(
                f"resume={folder}: its .hydra/overrides.yaml has {text}, which this version does not take from a run "
                "folder; type a value for it."
            )
    targets = [quote(str(value)) for setting, value in typed.items() if setting.endswith("_target_")]
    trust = [] if "trust" in typed else [f"trust=[{','.join(targets)}]" if targets else "trust=false"]
    ours = [quote_override("resume", name), quote_override("hydra.run.dir", name), "hydra.mode=RUN"]
    return [*(text for text, _ in kept), *others, *trust, *ours]


def check_own_yaml(folder: Path, config_dir: str | None, config_name: str | None) -> None:
    """Raise ConfigError if a run was started with YAML files of its user's own, and the command line does not say so.

    The run folder itself must not say where they are: it may come from anybody.
    """
    try:
        hydra = files.read_yaml(folder / ".hydra" / "hydra.yaml")["hydra"]
        providers = [source["provider"] for source in hydra["runtime"]["config_sources"]]
        name = str(hydra["job"]["config_name"])
    except (OSError, ValueError, TypeError, KeyError):
        return
    missing = ["--config-dir DIR"] if "command-line" in providers and config_dir is None else []
    if name != CONFIG_NAME and config_name is None:
        missing.append(f"--config-name {name}" if re.fullmatch(r"[\w/-]{1,99}", name) else "--config-name NAME")
    if missing:
        flags = " ".join(missing)
        raise ConfigError(
            f"resume={folder}: was started with YAML files outside this project; to use them, add {flags}."
        )


def is_safe(override: Override, has_own_yaml: bool) -> bool:
    """Whether a saved override can neither change Hydra's own settings, load a YAML file from outside of conf/, nor
    read anything else of this machine.

    Hydra's settings can name code, and so can a YAML file: a name such as `../../outputs/RUN/x` would load one. A
    resolver, such as `${oc.env:NAME}`, would copy a secret into the run. References such as `${seed}` are safe.
    """
    if "${" in re.sub(r"\$\{[\w.]+\}", "", str(override.value())):
        return False
    key = override.key_or_group
    if override.package is not None or not re.fullmatch(r"\w+([./]\w+)*", key) or re.match(r"hydra\b", key):
        return False
    if not (CONF / key).is_dir():
        return "/" not in key
    value = override.value()
    known = group_options(key).split(", ")
    names = value if isinstance(value, list) else [value]
    return all(name in known or (has_own_yaml and re.fullmatch(r"\w+(/\w+)*", str(name))) for name in names)


def quote_override(name: str, value: str) -> str:
    """The override `name=value`, with quotes where Hydra would not read the value as it is."""
    try:
        plain = OverridesParser.create().parse_override(f"{name}={value}").value() == value
    except HydraException:
        plain = False
    return f"{name}={value if plain else quote(value)}"


def quote(value: str) -> str:
    """A value in quotes, for Hydra."""
    return QuotedString(value, Quote.single).with_quotes()


def shell_line(program: str, *words: str) -> str:
    """A command line as a shell reads it: `shell_line("train.py", quote_override("resume", folder))`.

    Args:
        program: `train.py`, `sample.py` or a module such as `gan.evaluate`; where the current folder is not theirs,
            the line says where they are, as it was typed.
    """
    if IS_INSTALLED:
        return " ".join(["python -m", installed_name(program), *map(shell_words, words)])
    root, typed = CONF.parent.resolve(), Path(sys.argv[0]).parent
    is_typed = typed.resolve() == root
    folder = "" if Path.cwd() == root else str(typed) if is_typed else files.relative_path(root)
    if program.endswith(".py"):
        line = f"python {shell_words(str(Path(folder) / program))}"
    else:
        line = f"{f'PYTHONPATH={shell_words(folder)} ' if folder else ''}python -m {program}"
    return " ".join([line, *map(shell_words, words)])


def installed_name(program: str) -> str:
    """What comes after `python -m` where the project is installed: `gan train` for train.py, a module as it is."""
    return f"gan {program.removesuffix('.py')}" if program.endswith(".py") else program


def expand_globs(overrides: list[str]) -> list[str]:
    """The overrides, where group=glob(blog/*) becomes a choice of all options that match.

    Hydra's own glob does not look into the folders of a group. Raises ConfigError where no option matches.
    """
    expanded = []
    for override in overrides:
        pattern = re.fullmatch(r"([\w/]+)=glob\(([^\[\],()]+)\)", override)
        if pattern and option_files(pattern[1]):
            names = matching_options(pattern[1], pattern[2])
            if not names:
                raise ConfigError(f"{override}: matches no option of {pattern[1]}.")
            override = f"{pattern[1]}={','.join(names)}"
        expanded.append(override)
    return expanded


def merge_repeated(arguments: list[str], name: str) -> list[str]:
    """The command line with `name=A name=B` merged into `name=[A,B]`."""
    values = [argument.removeprefix(f"{name}=") for argument in arguments if argument.startswith(f"{name}=")]
    if len(values) < 2:
        return arguments
    others = [argument for argument in arguments if not argument.startswith(f"{name}=")]
    return [*others, f"{name}=[{','.join(map(quote, values))}]"]
