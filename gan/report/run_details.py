"""What is to be known about one run: what was typed, what differs from the defaults, its log, and what to type next."""

from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gan.cli.overrides import OPERATIONAL, quote_override, shell_line
from gan.config.options import MULTIPLE_CHOICE, option_files
from gan.report.composition import compose_settings
from gan.report.runs import RunFolder, flatten, is_number
from gan.system import files

LOG_LINES = 200  # from the end
MAX_CLASSES = 20  # that are named
RESUMABLE = ("stopped", "interrupted", "failed")


def command_line(runs: list[RunFolder]) -> str:
    """What was typed to start one run, or the one sweep that all of them are of; empty where that is not known."""
    if len(runs) == 1:
        return shell_line("train.py", *runs[0].typed)
    folders = list(dict.fromkeys(run.folder.parent for run in runs))
    typed = RunFolder(folders[0]).read(files.read_yaml, "multirun.yaml") if len(folders) == 1 else None
    for key in ("hydra", "overrides", "task"):
        typed = typed.get(key) if isinstance(typed, dict) else None
    return shell_line("train.py", "-m", *map(str, typed)) if isinstance(typed, list) else ""


def next_commands(run: RunFolder) -> dict[str, str]:
    """What to type for this run, by what it does."""
    path = files.relative_path(run.folder)
    folder = quote_override("run", path)
    commands = {
        "Sample": shell_line("sample.py", folder, "n=100"),
        "Evaluate": shell_line("gan.evaluate", folder),
        "Train again": shell_line("train.py", *run.typed),
    }
    if run.status["state"] in RESUMABLE:
        commands = {"Resume": shell_line("train.py", quote_override("resume", path))} | commands
    if run.status["state"] == "refused":
        return {"Train again": commands["Train again"]}
    return commands


def differences(run: RunFolder) -> dict[str, tuple[str, str]]:
    """Settings whose value is not the default of the run's options: (default, value) by name; "-" for none."""
    defaults = default_settings({name: value for name, value in run.settings.items() if value in option_files(name)})
    if not defaults:
        return {}
    own = {name: value for name, value in run.settings.items() if name.split(".")[0] not in OPERATIONAL}
    changed = {name: (defaults.get(name, "-"), value) for name, value in own.items()}
    return {
        name: values for name, values in changed.items() if values[0] != values[1] and values[1] not in ("None", "[]")
    }


def default_settings(choices: dict[str, str]) -> dict[str, str]:
    """Every setting of `python train.py` with these options of groups; empty where they cannot be composed."""
    groups = {name: value for name, value in choices.items() if name not in MULTIPLE_CHOICE}
    try:
        return dict(flatten(compose_settings(*(f"{name}={value}" for name, value in groups.items())))) | groups
    except (HydraException, OmegaConfBaseException):
        return {}


def describe_data(run: RunFolder) -> str:
    """The images or points that the run was trained on: their number, shape and classes; empty where not known."""
    data = run.status["data"]
    count, shape, names = data.get("images"), data.get("shape"), data.get("class_names")
    if (
        not is_number(count)
        or not isinstance(shape, list)
        or not all(map(is_number, shape))
        or len(shape) not in (1, 3)
    ):
        return ""
    kind = f"points of {shape[0]}" if len(shape) == 1 else f"images of {shape[1]}x{shape[2]}x{shape[0]}"
    classes = [str(name) for name in names] if isinstance(names, list) else []
    listed = f", {len(classes)} classes: {', '.join(classes[:MAX_CLASSES])}" if classes else ""
    more = " ..." if len(classes) > MAX_CLASSES else ""
    return f"{data.get('name', run.setting('dataset'))}: {count:,} {kind}{listed}{more}"


def describe_findings(run: RunFolder) -> str:
    """What followed the run found, in words: `dirac/path circles, dirac/step circles`; empty where nothing."""
    return ", ".join(f"{name} {value}" for name, value in run.status["findings"].items() if isinstance(value, str))


def read_log(run: RunFolder) -> str:
    """The last lines of train.log; empty without one."""
    return "\n".join((run.read(files.read_text, "train.log") or "").splitlines()[-LOG_LINES:])


def config_tree(run: RunFolder) -> dict[str, Any]:
    """The resolved configuration, as nested mappings; empty where it cannot be read."""
    config = run.read(files.read_yaml, ".hydra/config.yaml")
    return config if isinstance(config, dict) else {}
