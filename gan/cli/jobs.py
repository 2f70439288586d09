"""A run as a Hydra job: lock, outcome in status.json, the files of .hydra, its last lines. Imports no torch."""

import contextlib
import logging
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from filelock import Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gan.cli import sweep_results
from gan.cli.arguments import check_folders
from gan.cli.job_settings import already_done, drop_replaced, to_yaml
from gan.cli.messages import exit_with, os_error_message, outlive_console
from gan.cli.overrides import OPERATIONAL, parse_settings, quote_override, shell_line
from gan.cli.sweeps import own_yaml_flags
from gan.config.check import GROUPS
from gan.config.errors import ConfigError, first_line, printable
from gan.config.schema import Settings
from gan.config.targets import names_outside_code
from gan.metrics.catalogue import headline
from gan.system import files, locks, signals, status
from gan.system.console import IN_FILE, IN_SINGLE_RUN, format_seconds, labeled
from gan.system.rank import RANK

log = logging.getLogger(__name__)


Fail = Callable[..., NoReturn]  # what is called with an error that ends a job, and maybe with a path


def run_job(work: Callable[[DictConfig, Path], int], cfg: DictConfig) -> float | None:
    """Run `work` as a Hydra job of a program. Returns what a search minimizes.

    An error or a signal ends the program, except in a sweep, where the other jobs go on after an error.
    """
    if stopped_by := record_job(work, cfg, exit_with):
        sys.exit(128 + stopped_by)
    return objective(Path(HydraConfig.get().runtime.output_dir))


def record_job(work: Callable[[DictConfig, Path], int], cfg: DictConfig, fail: Fail) -> int:
    """Run `work` as a Hydra job and record its outcome in status.json.

    `work` returns the number of the signal that stopped it, or 0, and so does this. `fail` is called with an error,
    but in a sweep with few.
    """
    try:
        check_job(cfg, HydraConfig.get())
    except ConfigError as error:
        fail(error)
    drop_replaced(cfg, typed_overrides())
    folder = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    outlive_console()  # also in a worker of a launcher
    stopped_by = 0
    try:
        files.check_links(folder)
    except ConfigError as leaves:
        fail(leaves)
    try:
        with signals.interruptions(), locks.acquire(folder / ".lock", locks.LOOK_SECONDS):
            saved = has_checkpoint(folder)
            if not (sweeping and already_done(cfg, folder, saved)):
                with files.reserve_space(folder) as release_space:
                    stopped_by = run_locked_job(work, cfg, folder, sweeping, saved, release_space, fail)
    except ConfigError as error:  # the folder of this job has another run
        log.error("%s", error)
        return 0
    except OSError as error:
        message = os_error_message(error, folder)
        if isinstance(error, Timeout):
            name, advice = f"hydra.run.dir={folder}", "choose another folder"
            if sweeping:
                name, advice = str(folder), "run the sweep again once it has ended"
            message = ConfigError(
                f"{name}: another process is training there; {advice}, or remove {error.lock_file} if that process is "
                "gone."
            )
        if not sweeping:
            fail(message)
        log.error("%s", message)
    return stopped_by


def check_job(cfg: DictConfig, hydra: Any) -> None:
    """Raise ConfigError for a YAML file of the user's own that lacks settings, or writes into a shared folder."""
    missing = [name for name in (*Settings.model_fields, *GROUPS) if name not in cfg]
    if missing:
        raise ConfigError(
            f"--config-name {hydra.job.config_name}: has no setting {missing[0]}; a file of your own starts with "
            "`defaults: [train, _self_]`."
        )
    check_folders({"hydra.job.chdir": hydra.job.chdir})
    if cfg.resume is None:
        check_folders({"hydra.run.dir": files.relative_path(Path(hydra.runtime.output_dir))})


def objective(folder: Path) -> float | None:
    """What a search minimizes, of the run in `folder`."""
    return sweep_results.objective(status.read(folder))


def typed_overrides() -> list[str]:
    """The overrides of settings and groups, as they were typed."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return overrides


def run_locked_job(
    work: Callable[[DictConfig, Path], int],
    cfg: DictConfig,
    folder: Path,
    sweeping: bool,
    saved: bool,
    release_space: Callable[[], None],
    fail: Fail = exit_with,
) -> int:
    """`run_job` while no other process can use `folder`. Returns the number of the signal that stopped it, or 0.

    Args:
        saved: whether the folder has a checkpoint of an earlier run, whose status is kept if this job has an error.
        release_space: frees the reserved space, so that a full disk can be recorded in status.json.
    """
    try:
        if cfg.resume is None and (sweeping or not saved):
            write_hydra_files(cfg, folder)
        stopped_by = work(cfg, folder)
    except ConfigError as error:
        if (cfg.resume is None and not saved) or sweeping:  # in a sweep, for its table
            status.update(folder, state="refused", error=str(error))
        if not sweeping:
            fail(error)
        log.error("%s", error)
        return 0
    except KeyboardInterrupt as error:
        with signals.stop_requests():  # another signal does not skip the writing
            if status.read(folder)["state"] == "running":
                status.update(folder, state="stopped")
        stopped_by = getattr(error, "signal", signal.SIGINT)
    except (OSError, MemoryError) as error:
        message = os_error_message(error, folder)
        release_space()
        with contextlib.suppress(OSError):  # on a read-only disk, or where another process took the space
            status.update(folder, state="failed", error=str(message))
        if not sweeping:
            fail(error, folder)
        log.error("%s", message)
        return 0
    except Exception as error:
        status.update(folder, state="failed", error=f"{type(error).__name__}: {first_line(error)}.")
        if not sweeping:
            fail(error)
        log.exception("this job failed")
        return 0
    if RANK == 0:
        try:
            print_summary(cfg, folder, sweeping)
            sys.stdout.flush()
        except OSError as error:  # a full disk; the run itself is complete
            fail(error, "standard output")
    return stopped_by


def has_checkpoint(folder: Path) -> bool:
    """Whether a run in `folder` has saved a checkpoint. Raises OSError where that cannot be read."""
    try:
        names = [path.name for path in (folder / "checkpoints").iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(name.endswith(".pt") and not name.startswith(".") for name in names)


def check_unused(folder: Path) -> None:
    """Raise ConfigError if a new run's folder has another run. A sweep resumes its own jobs."""
    if HydraConfig.get().mode != RunMode.MULTIRUN and has_checkpoint(folder):
        resume = quote_override("resume", str(folder))
        raise ConfigError(
            f"hydra.run.dir={folder}: contains a run; use {resume} to resume it, or choose another folder."
        )


def write_hydra_files(cfg: DictConfig, folder: Path) -> None:
    """Write the configuration and the overrides to `.hydra`.

    Hydra itself would do so before it is known whether a run in that folder can be resumed with them.
    """
    hydra: Any = HydraConfig.instance().cfg
    overrides = OmegaConf.to_yaml(hydra.hydra.overrides.task)
    for name, text in {"config": to_yaml(cfg), "hydra": OmegaConf.to_yaml(hydra), "overrides": overrides}.items():
        with files.atomic_write(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(text.encode())


def hparams(cfg: DictConfig) -> dict[str, bool | float | str]:
    """What TensorBoard's HParams tab shows of a run: the options and settings that were typed, in a sweep those swept.

    The others are as in all runs of the sweep, or have their defaults. Where there is none it is the seed, without
    which the tab would say that there is no data. null is left out, so that a column of numbers has nothing else.
    """
    same = HydraConfig.get().job.config.override_dirname.exclude_keys  # in the jobs of the sweep, which has set it
    typed = [name for name in parse_settings(typed_overrides()) if name not in (*OPERATIONAL, *same)]
    options = {**HydraConfig.get().runtime.choices, "trick": f"[{','.join(cfg.trick)}]"}
    values = {name: options[name] if name in options else OmegaConf.select(cfg, name) for name in typed}
    shown = {
        name: value if isinstance(value, (bool, int, float)) else str(value)
        for name, value in values.items()
        if value is not None
    }
    return shown or {"seed": cfg.seed}


def announce(folder: Path, resumed: bool) -> None:
    """The first line of a run, before what takes seconds: torch, the data and the networks."""
    line = labeled("run folder", files.relative_path(folder) + (", resumed" if resumed else ""))
    log.info("%s", line, extra=IN_SINGLE_RUN)


def print_summary(cfg: DictConfig, folder: Path, sweeping: bool) -> None:
    """Print the last lines of a run: its outcome, where its images are, and what to type next.

    Args:
        sweeping: whether it is a job of a sweep, which prints the line that goes on with all of its jobs.
    """
    ended = describe_outcome(folder)
    log.info("%s", ended, extra=IN_FILE)
    if sweeping:
        print(printable(f"{folder.name}: {ended}"))
    elif has_checkpoint(folder):
        lines = (labeled(label, text) for label, text in next_commands(cfg, folder).items())
        print("\n".join(map(printable, ["", ended, *lines])))
    else:
        print("\n".join(map(printable, ["", ended, labeled("start again", shell_line("train.py", *sys.argv[1:]))])))


def describe_outcome(folder: Path) -> str:
    """How a run ended: state, steps, time, speed, the last FID or distance of points, and a reason where it has one."""
    if not has_checkpoint(folder):
        return "Stopped before the first checkpoint"
    outcome = status.read(folder)
    steps = f"{outcome['step']:,} step{'' if outcome['step'] == 1 else 's'}"
    parts = [f"{outcome['state'].capitalize()} after {steps} in {format_seconds(outcome['seconds'])}"]
    if outcome["images_per_second"]:
        parts.append(f"{outcome['images_per_second']:,.0f} images a second")
    if score := headline(outcome["scores"]):
        parts.append("{} {:.3f}".format(*score))
    return ", ".join(parts) + (f": {outcome['error']}" if outcome["error"] else "")


def next_commands(cfg: DictConfig, folder: Path) -> dict[str, str]:
    """Where the images of a run are, and the commands that a user may want next, by label."""
    path, outcome = files.relative_path(folder), status.read(folder)
    trust = ["trust=true"] if names_outside_code(cfg) else []
    run = quote_override("run", path)
    images = [folder / "final.png", *reversed(files.sample_grids(folder).values())]
    image = next((files.relative_path(image) for image in images if image.is_file()), None)
    lines = {"images": f"{image}, {path}/samples.gif"} if image else {}
    lines["curves"] = f"tensorboard --logdir {shlex.quote(files.relative_path(folder.parent))}"
    lines["report"] = shell_line("gan.report", path)
    lines["more images"] = shell_line("sample.py", run, "n=100", *trust)
    data = outcome["data"]
    has_points = len(data.get("shape", [])) == 1
    if (data.get("classes") or has_points) and not headline(outcome["scores"]):  # else FID takes a download
        lines["scores" if has_points else "FID"] = shell_line("gan.evaluate", run, *trust)
    if outcome["state"] == "stopped":
        flags = own_yaml_flags(HydraConfig.get())
        lines["resume"] = shell_line("train.py", *flags, quote_override("resume", path), *trust)
    return lines
