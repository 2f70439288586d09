"""Around Hydra: plain messages, folder names, resuming, and the table after a sweep. Imports no torch."""

import contextlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml
from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan import status
from gan.config import first_line
from gan.errors import Refused

log = logging.getLogger(__name__)
CONF = Path(__file__).parent.parent / "conf"


def slug(overrides: list[str]) -> str:
    """A command line as part of a folder's name: `model=mlp optim.generator.lr=0.1` is `model-mlp_lr-0.1`.

    `retry=` is no part of it: a sweep that is taken up again finds its folders.
    """
    named = [override.partition("=")[::2] for override in overrides]
    words = [f"{name.split('.')[-1]}={value}" for name, value in named if name != "retry"]
    plain = [re.sub(r"[^\w.]+", "-", word).strip("-_") for word in words]
    return "_".join(plain)[:80].rstrip("-_") or "default"


OmegaConf.register_new_resolver("slug", slug, replace=True)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Around Hydra: turn what it has against a command line into one sentence and exit code 1.

    What goes wrong in the work itself ends the program in `leave`. GAN_DEBUG=1 shows every traceback.
    """
    if os.environ.get("GAN_DEBUG"):
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra would print its own report and exit
    try:
        yield
    except Refused as error:
        sys.exit(str(error))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        sys.exit(explained(error))
    except OSError as error:
        sys.exit(str(refused(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def leave(error: Exception) -> NoReturn:
    """End the program over what went wrong in its work: a refusal is one sentence, a bug is seen whole."""
    if isinstance(error, OSError):
        error = refused(error)
    if isinstance(error, Refused) and not os.environ.get("GAN_DEBUG"):
        sys.exit(str(error))
    traceback.print_exception(error)
    sys.exit(1)


def refused(error: OSError) -> Refused:
    """A file that cannot be read or written, in a sentence."""
    return Refused(f"{error.filename or 'a file'} cannot be used: {error.strerror or first_line(error)}.")


def explained(error: Exception) -> str:
    """Hydra's or OmegaConf's complaint in one sentence: what came, and what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        choices = ", ".join(sorted(path.stem for path in (CONF / group).glob("*.yaml")))
        return f"{group}={name} is not known: {group} can be {choices}."
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.parent_node is not None and cause.key is not None:
        parent, key = cause.parent_node, cause.full_key or cause.key
        if isinstance(parent, DictConfig) and cause.key not in parent:
            return f"{key} is not a setting; there are {', '.join(map(str, parent))}."
    return f"{first_line(error)}."


def resumed(arguments: list[str]) -> list[str]:
    """The command line with, where it says resume=FOLDER, all that was once asked for in that folder.

    What is said now comes after what was said then, and replaces it. Raises Refused if FOLDER is no run.
    """
    now = [argument for argument in arguments if not argument.startswith("-")]
    flags = [argument for argument in arguments if argument.startswith("-")]
    folders = [argument.removeprefix("resume=") for argument in now if argument.startswith("resume=")]
    if not folders or folders[-1] in ("null", ""):
        return arguments
    folder = Path(folders[-1])
    try:
        then = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text()) or []
    except (OSError, yaml.YAMLError) as error:
        raise Refused(f"resume={folder} is not a run: it has no .hydra/overrides.yaml that can be read.") from error
    parser = OverridesParser.create()
    said = {override.key_or_group for override in parser.parse_overrides(now)}
    kept = [text for text in then if parser.parse_override(text).key_or_group not in said]
    return [*flags, *kept, *now, f"hydra.run.dir='{folder}'", "hydra.mode=RUN"]


def globbed(arguments: list[str]) -> list[str]:
    """The command line with, where it says group=glob(blog/*), all options that fit.

    Hydra's own glob does not look into the folders of a group. Raises Refused where nothing fits.
    """
    found = []
    for argument in arguments:
        asked = re.fullmatch(r"([\w/]+)=glob\(([^\[\],()]+)\)", argument)
        if asked and (CONF / asked[1]).is_dir():
            folder = CONF / asked[1]
            options = sorted(path.relative_to(folder).with_suffix("") for path in folder.glob(asked[2] + ".yaml"))
            if not options:
                raise Refused(f"{argument} fits none of the options of {asked[1]}.")
            argument = f"{asked[1]}={','.join(map(str, options))}"
        found.append(argument)
    return found


def gathered(arguments: list[str], name: str) -> list[str]:
    """The command line with all of `name=A name=B` as one `name=[A,B]`, where it is said more than once."""
    values = [argument.removeprefix(f"{name}=") for argument in arguments if argument.startswith(f"{name}=")]
    if len(values) < 2:
        return arguments
    others = [argument for argument in arguments if not argument.startswith(f"{name}=")]
    return [*others, f"{name}=[{','.join(repr(value) for value in values)}]"]


def job(work: Callable[[DictConfig, Path], int], cfg: DictConfig) -> float | None:
    """Do a Hydra job's work, so that status.json says what became of it whatever happens.

    `work` returns the number of the signal that stopped it, or 0. In a sweep, a job that is refused or fails
    leaves the others alone; alone, it ends the program. Returns what a search minimises: the last FID, if the run was
    scored.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        with FileLock(folder / ".lock", timeout=0):  # the system lets go of it when the process dies
            if not (sweeping and taken_up(cfg, folder)):
                locked_job(work, cfg, folder, sweeping)
    except Timeout:
        refusal = Refused(f"{folder} is in use: another process is training there. Wait for it, or choose another.")
        if not sweeping:
            leave(refusal)
        log.error("%s", refusal)
    return status.read(folder)["scores"].get("fid")


def locked_job(work: Callable[[DictConfig, Path], int], cfg: DictConfig, folder: Path, sweeping: bool) -> None:
    """The same, once no other process can be in `folder`."""
    try:
        if stopped_by := work(cfg, folder):
            sys.exit(128 + stopped_by)
    except Refused as error:
        if cfg.resume is None:  # a run that was there before keeps its own status
            status.update(folder, state="refused", error=str(error))
        if not sweeping:
            leave(error)
        log.error("%s", error)
    except KeyboardInterrupt:
        status.update(folder, state="stopped")
        raise
    except OSError as error:
        refusal = refused(error)
        with contextlib.suppress(OSError):  # on a full disk this may be impossible too
            status.update(folder, state="failed", error=str(refusal))
        if not sweeping:
            leave(refusal)
        log.error("%s", refusal)
    except Exception as error:
        status.update(folder, state="failed", error=f"{type(error).__name__}: {first_line(error)}.")
        if not sweeping:
            leave(error)
        log.exception("this job failed")


def taken_up(cfg: DictConfig, folder: Path) -> bool:
    """Whether an earlier attempt at this sweep has settled this job. One that was cut short is set to go on."""
    if not (folder / "status.json").exists():
        return False
    before = status.read(folder)
    if before["state"] in ("finished", "diverged") or (before["state"] == "failed" and not cfg.retry):
        hint = "; retry=true would run it again" if before["state"] == "failed" else ""
        log.info("%s %s before and is left alone%s.", folder.name, before["state"], hint)
        return True
    if any((folder / "checkpoints").glob("*.pt")):
        cfg.resume = str(folder)
    return False


def choices() -> dict[str, Any]:
    """What was chosen for each group and what else was asked, for the HParams tab."""
    chosen = {
        group: name
        for group, name in HydraConfig.get().runtime.choices.items()
        if not group.startswith("hydra/") and name is not None
    }
    for override in HydraConfig.get().overrides.task:
        name, _, value = override.lstrip("+").partition("=")
        if name != "resume":
            chosen.setdefault(name, value)
    return chosen


class SweepTable(Callback):
    """Prints, after a sweep, what became of each job; the exit code is 1 if one failed or was refused."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folders = sorted(
            (path.parent for path in Path(config.hydra.sweep.dir).glob("*/status.json")),
            key=lambda folder: int(folder.name.split("_")[0]) if folder.name.split("_")[0].isdigit() else 0,
        )
        table = [["job", "state", "step", "seconds", "D loss", "G loss", "D(x)", "D(G(z))"]]
        for folder in folders:
            found = status.read(folder)
            last = ("discriminator/loss", "generator/loss", "discriminator/real", "discriminator/fake")
            numbers = ["-" if found["last"].get(name) is None else f"{found['last'][name]:.3f}" for name in last]
            table.append([folder.name, found["state"], str(found["step"]), f"{found['seconds']:.0f}", *numbers])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        print(f"\n{config.hydra.sweep.dir}")
        for row in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if any(status.read(folder)["state"] in ("failed", "refused") for folder in folders):
            sys.exit(1)


def say_what_next(folder: Path) -> None:
    """The last lines of a run: what became of it, where the pictures are, and what to type next."""
    found = status.read(folder)
    shown = os.path.relpath(folder)
    samples = sorted((folder / "samples").glob("step_*.png"))
    why = f": {found['error']}" if found["error"] else ""
    print(f"\n{found['state'].capitalize()} after {found['step']} steps and {found['seconds']:.0f} seconds{why}")
    if samples:
        print(f"  pictures    {os.path.relpath(samples[-1])}, and the film {shown}/history.gif")
    print(f"  curves      tensorboard --logdir {os.path.relpath(folder.parent)}")
    print(f"  more        python sample.py run={shown} n=100")
    if found["state"] == "stopped":
        print(f"  go on       python train.py resume={shown}")
