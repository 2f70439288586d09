"""What is typed, before Hydra reads it: resuming, all options of a group, the names of folders. Imports no torch."""

import atexit
import re
import shlex
import shutil
import sys
import tempfile
import textwrap
import zlib
from pathlib import Path

import yaml
from hydra._internal.utils import get_args_parser  # what hydra.main itself reads the command line with
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

from gan.config import CONF
from gan.config.errors import ConfigError
from gan.system import rank

BESIDES = {"resume", "retry", "data_dir", "cache_dir", "threads"}  # settings that say nothing of what a run is
USUAL = r"[\w.-]+(=\[?[\w.-]+([,/][\w.-]+)*\]?)?"  # an override whose name and value are plain words or lists
LONGEST = 80  # letters in what a folder's name says of its run
SEVERAL = ("trick", "experiment")  # groups of which more than one option may be chosen


def print_help(program: str) -> None:
    """Where --help was typed: print what conf/help says of the program, and leave.

    Hydra's own help copies its configuration once for each group there is, and takes a second.
    """
    if not {"--help", "-h"} & set(sys.argv[1:]):
        return
    groups = sorted(path.name for path in CONF.iterdir() if path.name not in ("help", "hydra") and path.is_dir())
    lines = [textwrap.fill(f"{group}: {group_options(group)}", 110, subsequent_indent="  ") for group in groups]
    # without its defaults and what is Hydra's
    _, *settings, _ = (CONF / f"{program}.yaml").read_text("utf-8").split("\n\n")
    text = (CONF / "help" / f"{program}.txt").read_text("utf-8")
    print(text.format(groups="\n".join(lines), settings="\n\n".join(settings)), end="")
    sys.exit()


def parse_arguments(arguments: list[str]) -> list[str]:
    """A command line of train.py as Hydra is to read it. Raises ConfigError for what Hydra would trip over."""
    typed = get_args_parser().parse_intermixed_args(arguments).overrides  # -m may stand anywhere
    left = list(typed)
    flags = [argument for argument in arguments if argument not in left or left.remove(argument)]
    if any(flag in ("-m", "--multirun") for flag in flags) and any(text.startswith("resume=") for text in typed):
        raise ConfigError("resume=... goes on with one run, and -m starts a sweep: leave one of them out.")
    overrides = expand_globs(resume_overrides(typed))
    if rank.RANK:  # number 0 writes; what the others write is thrown away
        elsewhere = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
        overrides += [f"hydra.run.dir={elsewhere}", "hydra/job_logging=disabled"]
    for text, override in zip(overrides, OverridesParser.create().parse_overrides(overrides), strict=True):
        check_choice(text, override)
    return [*flags, *overrides]


def check_choice(argument: str, override: Override) -> None:
    """Raise ConfigError where a group is given something that cannot be the name of an option."""
    group = override.key_or_group
    if not group_options(group):
        return
    if override.is_add() or override.is_delete():
        none = f"; {group}=[] is none" if group in SEVERAL else ""
        raise ConfigError(f"{argument} is not possible: {group}=... says all that is chosen of it{none}.")
    value = override.value()
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    names = [name for each in values for name in (each if isinstance(each, list) and group in SEVERAL else [each])]
    if not all(isinstance(name, (str, Glob)) for name in names) or isinstance(value, RangeSweep):
        none = ", or [] for none" if group in SEVERAL else ""
        raise ConfigError(f"{argument} is not possible: {group} can be {group_options(group)}{none}.")


def group_options(group: str) -> str:
    """What a group of ours offers, in words; nothing for one of Hydra's."""
    folder = CONF / ("nothing" if group == "hydra" else group)
    return ", ".join(sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")))


def slug(overrides: list[str]) -> str:
    """A command line as part of a folder's name: `model=mlp train.epochs=1` is `model-mlp_train.epochs-1`.

    What is no part of the run itself is left out: a sweep that is taken up again finds its folders. What is cut, or has
    unusual signs in it, gets a checksum, so that no sweep takes the folders of another for its own.
    """
    words = [override for override in overrides if override.partition("=")[0] not in BESIDES]
    name = "_".join(re.sub(r"[^\w.-]+", "-", word).strip("-_") for word in words) or "default"
    if len(name) <= LONGEST and all(re.fullmatch(USUAL, word) for word in words):
        return name
    return f"{name[: LONGEST - 9]}_{zlib.crc32(' '.join(words).encode()):08x}"


OmegaConf.register_new_resolver("slug", slug, replace=True)


def resume_overrides(overrides: list[str]) -> list[str]:
    """The overrides with, where they say resume=FOLDER, all that was once asked for in that folder.

    What is said now comes after what was said then, and replaces it. Raises ConfigError if FOLDER is no run.
    """
    folders = [override.removeprefix("resume=") for override in overrides if override.startswith("resume=")]
    if not folders or folders[-1] == "null":
        return overrides
    parser = OverridesParser.create()
    name = folders[-1]
    if name[:1] in ("'", '"') and not Path(name).exists():  # in quotes, as Hydra wants unusual signs
        name = str(parser.parse_override(f"resume={name}").value())
    if not name:
        raise ConfigError("resume= is empty: it should be the folder of a run.")
    folder = Path(name)
    others = [override for override in overrides if not override.startswith("resume=")]
    overrides = [*others, quote_override("resume", name)]
    said = {override.key_or_group: override.value() for override in parser.parse_overrides(overrides)}
    try:
        then = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text("utf-8")) or []
        kept = [text for text in then if parser.parse_override(text).key_or_group not in said]
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, HydraException) as error:
        raise ConfigError(f"resume={folder} is not a run: it has no .hydra/overrides.yaml that can be read.") from error
    if Path(str(said.get("hydra.run.dir", folder))).resolve() != folder.resolve():
        raise ConfigError(f"resume={folder} goes on in that folder: to go on in another, copy it there first.")
    return [*kept, *overrides, quote_override("hydra.run.dir", name), "hydra.mode=RUN"]


def quote_override(name: str, value: str) -> str:
    """The override `name=value`, with quotes around a value that Hydra would not read as it stands."""
    try:
        plain = OverridesParser.create().parse_override(f"{name}={value}").value() == value
    except HydraException:
        plain = False
    quoted = value.replace("'", r"\'")
    return f"{name}={value}" if plain else f"{name}='{quoted}'"


def shell_line(*words: str) -> str:
    """A command line as a shell wants it: `shell_line("train.py", quote_override("resume", folder))`."""
    return shlex.join(["python", *words])


def expand_globs(overrides: list[str]) -> list[str]:
    """The overrides with, where they say group=glob(blog/*), all options that fit.

    Hydra's own glob does not look into the folders of a group. Raises ConfigError where nothing fits.
    """
    found = []
    for override in overrides:
        asked = re.fullmatch(r"([\w/]+)=glob\(([^\[\],()]+)\)", override)
        if asked and (CONF / asked[1]).is_dir():
            folder = CONF / asked[1]
            fitting = sorted(path.relative_to(folder).with_suffix("") for path in folder.glob(asked[2] + ".yaml"))
            if not fitting:
                raise ConfigError(f"{override} fits none of the options of {asked[1]}.")
            override = f"{asked[1]}={','.join(map(str, fitting))}"
        found.append(override)
    return found


def merge_repeated(arguments: list[str], name: str) -> list[str]:
    """The command line with all of `name=A name=B` as one `name=[A,B]`, where it is said more than once."""
    values = [argument.removeprefix(f"{name}=") for argument in arguments if argument.startswith(f"{name}=")]
    if len(values) < 2:
        return arguments
    others = [argument for argument in arguments if not argument.startswith(f"{name}=")]
    return [*others, f"{name}=[{','.join(repr(value) for value in values)}]"]
