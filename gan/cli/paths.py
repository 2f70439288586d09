"""Paths that users of sample.py and gan.evaluate type: runs, and the file for the samples. Imports no torch."""

import re
import shlex
from collections.abc import Collection
from pathlib import Path

from gan.cli.arguments import parse
from gan.cli.overrides import quote
from gan.config.errors import ConfigError, printable
from gan.config.schema import Sampling
from gan.system import status
from gan.system.escape import file_name

EXPORTS = {"onnx": [".onnx"], "torchscript": [".pt"], "safetensors": [".safetensors"]}  # formats of a generator
ENDINGS = {  # of `out`, by format
    **{"grid": [".png"], "codes": [".png"], "png": [], "npz": [".npz"]},
    **{"gif": [".gif"], "interpolation": [".gif", ".png"]},
    "explorer": [".html"],
    **EXPORTS,
}
FORMATS = {  # of an `out` whose format was not typed; one that ends in .pt may be a checkpoint
    **{".png": "grid", ".npz": "npz", ".gif": "gif", ".html": "explorer"},
    **{".onnx": "onnx", ".safetensors": "safetensors"},
}
LISTED_RUNS = 5
ZOO = Path(__file__).parent.parent / "zoo"  # the generators that come with this project
GENERATED = Path("outputs", "generated")  # samples of a generator that comes without a run folder


def read_arguments(arguments: list[str], paths: Collection[str]) -> list[str]:
    """The command line as Hydra should read it: the values of `paths` are taken as they stand, as in `out=~/my file`.

    A list, null, and what is in quotes already stay as they are. Raises ConfigError for a sweep.
    """
    read = []
    for argument in arguments:
        if argument in ("-m", "--multirun"):
            raise ConfigError(f"{argument}: only train.py has sweeps; call this program once for each value.")
        name, _, text = argument.partition("=")
        override = parse(argument)
        is_sweep = override is not None and override.is_sweep_override()
        is_text = override is not None and not isinstance(override.value(), (bool, int, float, dict))
        if name in paths and (is_sweep or not is_text):
            argument = f"{name}={quote(text)}"
        elif is_sweep:
            raise ConfigError(f"{argument}: must be one value; call this program once for each.")
        read.append(argument)
    return read


def find_run(text: str) -> Path:
    """The run folder that a user names, or the file of a generator, such as that of `zoo/mnist`.

    Raises ConfigError, which says what is there, for one without a checkpoint.
    """
    folder = expand_zoo(text, "run")
    if is_run(folder) or is_generator(folder):
        return folder
    if around := next((parent for parent in list(folder.absolute().parents)[:2] if is_run(parent)), None):
        best = " checkpoint=best" if folder.name == "best.pt" else ""
        raise ConfigError(f"run={text}: must be the folder of the run; type {shlex.quote(f'run={around}')}{best}.")
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigError(f"run={text}: {problem}; must be a run folder, such as outputs/2026-01-31_12-00-00.")
    if (folder / "status.json").exists():
        outcome = status.outcome(folder)
        error = f": {outcome['error']}".rstrip(".") if outcome["error"] else ""
        raise ConfigError(f"run={text}: has no checkpoint; its state is {outcome['state']}{error}.")
    runs = sorted(path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/checkpoints"))
    if not runs:
        raise ConfigError(f"run={text}: has no checkpoint, and no runs below it.")
    names = ", ".join(str(run.relative_to(folder)) for run in runs[:LISTED_RUNS])
    more = f" and {len(runs) - LISTED_RUNS} more" if len(runs) > LISTED_RUNS else ""
    line = shlex.quote(f"run={runs[0]}")
    raise ConfigError(f"run={text}: is no run, but has {len(runs)} below it: {names}{more}; type {line}.")


def expand_zoo(text: str, setting: str) -> Path:
    """`expand_home`, and for `zoo/NAME`, where there is nothing of that name, the file of the generator in the zoo.

    Raises ConfigError, which lists them, where there is none.
    """
    path = expand_home(text)
    if path.parts[:1] != (ZOO.name,) or path.exists():
        return path
    known = {f"{ZOO.name}/{found.stem}": found for found in sorted(ZOO.glob("*.safetensors"))}
    if path.as_posix() not in known:
        raise ConfigError(f"{setting}={printable(text)}: must be a run folder, or one of {', '.join(known)}.")
    return known[path.as_posix()]


def expand_home(text: str) -> Path:
    """The path, where `~` is the home folder, which a shell does not put after `out=`."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: there is no home folder of this name.") from error


def is_run(folder: Path) -> bool:
    """Whether it has checkpoints, readable or not."""
    checkpoints = folder / "checkpoints"
    return checkpoints.is_dir() and any(checkpoints.iterdir())


def is_generator(path: Path) -> bool:
    """Whether it is a file of `sample.py format=safetensors`, by its ending."""
    return path.suffix == ".safetensors" and path.is_file()


def name_run(path: Path) -> str:
    """Its path; `zoo/mnist` of a generator in the zoo."""
    return f"{ZOO.name}/{path.stem}" if path.parent == ZOO else str(path)


def describe_run(folder: Path) -> str:
    """Its name, with its state where it is known that it did not finish."""
    if is_generator(folder):
        return name_run(folder)
    outcome = status.outcome(folder)
    is_silent = outcome["state"] == "finished" or not (folder / "status.json").exists()
    return str(folder) if is_silent else f"{folder} ({outcome['state']} at step {outcome['step']})"


def choose_output(request: Sampling, run: Path) -> Sampling:
    """The request with `format` and `out`, where they were not typed or are incomplete. Raises ConfigError.

    `out` gets the ending of its format, or decides on the format by its ending. In a folder, and without `out`, the
    name says how the images were generated. That folder is in the run, or in outputs/ for a generator in a file.
    """
    typed = request.out or ""
    out = expand_home(typed)
    ending = out.suffix.lower() if re.fullmatch(r"\.[A-Za-z]\w*", out.suffix) else ""  # that of lr0.01 is none
    kind = request.format or FORMATS.get(ending, "grid")
    endings = ENDINGS[kind]
    if kind in EXPORTS:
        check_export(request, kind)
    if request.like:
        check_like(request, kind)
    if ending and ending not in endings and (endings or ending in FORMATS):
        allowed = f"end in {' or '.join(endings)}" if endings else "be a folder, for one PNG per image,"
        hint = f"; or type format={FORMATS[ending]}" if ending in FORMATS else ""
        raise ConfigError(f"out={request.out}: must {allowed} with format={kind}{hint}.")
    main_ending = endings[0] if endings else ""
    default_name = f"{sample_name(request, kind)}{main_ending}"
    if not typed:
        path = (GENERATED / run.stem if is_generator(run) else run / "generated") / default_name
    elif endings and (typed.endswith("/") or out.is_dir()):
        path = out / default_name
    else:
        is_device = out.exists() and not (out.is_file() or out.is_dir())  # which no ending makes a file
        path = out if ending or is_device else Path(f"{out}{main_ending}")
    return request.model_copy(update={"format": kind, "out": str(path)})


def check_export(request: Sampling, kind: str) -> None:
    """Raise ConfigError for settings of images that a generator in a file does not have."""
    if request.class_ is not None:
        raise ConfigError(
            f"class={request.class_}: leave it out; the file of format={kind} takes the class as an input."
        )
    if request.truncation != 1:
        raise ConfigError(
            f"truncation={request.truncation:g}: leave it out; the file of format={kind} takes the noise as an input, "
            "which you can multiply."
        )


def check_like(request: Sampling, kind: str) -> None:
    """Raise ConfigError for more images than two, and for what is not written about them."""
    typed = f"like={printable(', '.join(request.like))}"
    if len(request.like) > 2:
        raise ConfigError(f"{typed}: must be one image or two, as in like=[A.png,B.png].")
    if kind not in ("grid", "gif"):
        raise ConfigError(f"format={kind}: must be grid or gif with {typed}.")
    if kind == "gif" and len(request.like) == 1:
        raise ConfigError(f"{typed}: must be two images for format=gif, which shows the path from one to the other.")


def sample_name(request: Sampling, kind: str) -> str:
    """A file name that says how the images were generated, or which generator it has."""
    checkpoint = "" if request.checkpoint == "last" else f"_{request.checkpoint}"
    ema = ("" if request.ema else "_no-ema") if isinstance(request.ema, bool) else f"_ema{request.ema:g}"
    if kind in EXPORTS:
        return f"generator{checkpoint}{ema}"
    if kind == "explorer":
        return f"explorer{checkpoint}{ema}"
    label = "" if request.class_ is None else f"_class{file_name(str(request.class_))}"
    if request.like:
        names = "_".join(file_name(Path(text).stem) for text in request.like)
        return f"like_{names}{checkpoint}{ema}{label}_seed{request.seed}"
    truncation = "" if request.truncation == 1 else f"_truncation{request.truncation:g}"
    return f"{kind}{checkpoint}{ema}{label}{truncation}_seed{request.seed}_n{request.n}"
