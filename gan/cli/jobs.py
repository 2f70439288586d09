"""A run as a Hydra job: lock, outcome in status.json, resumed sweeps, and a sweep's table. Imports no torch."""

import contextlib
import logging
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from gan.cli.messages import exit_with, os_error_message
from gan.cli.overrides import OPERATIONAL, parse_settings, quote_override, shell_line
from gan.config.errors import ConfigError, first_line
from gan.config.targets import drop_replaced_arguments, names_outside_code
from gan.metrics.catalogue import headline
from gan.system import files, status
from gan.system.rank import WORLD_SIZE

log = logging.getLogger(__name__)


def run_job(work: Callable[[DictConfig, Path], int], cfg: DictConfig) -> float | None:
    """Run `work` as a Hydra job and record its outcome in status.json. Returns what a search minimizes.

    `work` returns the number of the signal that stopped it, or 0. An error ends the program, except in a sweep, where
    the other jobs go on.
    """
    drop_replaced(cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    if sweeping and WORLD_SIZE > 1:
        exit_with(ConfigError("-m: not possible with torchrun; start each run of a sweep with torchrun instead."))
    try:
        with FileLock(folder / ".lock", timeout=0):  # the system releases it when the process dies
            saved = has_checkpoint(folder)
            if not (sweeping and already_done(cfg, folder, saved)):
                with files.reserve_space(folder) as release_space:
                    run_locked_job(work, cfg, folder, sweeping, saved, release_space)
    except Timeout:
        error = ConfigError(f"hydra.run.dir={folder}: another process is training there; choose another folder.")
        if not sweeping:
            exit_with(error)
        log.error("%s", error)
    return objective(folder)


def objective(folder: Path) -> float | None:
    """What a search minimizes: the last FID of the run, or None if it diverged."""
    run = status.read(folder)
    score = headline(run["scores"])
    return None if run["state"] == "diverged" or score is None else score[1]


def typed_overrides() -> list[str]:
    """The overrides of settings and groups, as they were typed."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return overrides


def drop_replaced(cfg: DictConfig) -> None:
    """Drop what the command line replaced: numbers of an experiment's own tricks, arguments for another `_target_`."""
    typed = parse_settings(typed_overrides())
    if "trick" in typed and isinstance(cfg.trick, DictConfig):
        chosen = typed["trick"] if isinstance(typed["trick"], list) else [typed["trick"]]
        with open_dict(cfg):
            for name, node in dict(cfg.trick).items():
                if name not in chosen and isinstance(node, DictConfig) and "_target_" not in node:
                    del cfg.trick[name]
    drop_replaced_arguments(cfg, typed)


def run_locked_job(
    work: Callable[[DictConfig, Path], int],
    cfg: DictConfig,
    folder: Path,
    sweeping: bool,
    saved: bool,
    release_space: Callable[[], None],
) -> None:
    """`run_job` while no other process can use `folder`.

    Args:
        saved: whether the folder has a checkpoint of an earlier run, whose status is kept if this job has an error.
        release_space: frees the reserved space, so that a full disk can be recorded in status.json.
    """
    try:
        if cfg.resume is None and (sweeping or not saved):
            write_hydra_files(cfg, folder)
        if stopped_by := work(cfg, folder):
            if stopped_by not in (signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(stopped_by)  # all is saved: submitit may now queue the job again
            sys.exit(128 + stopped_by)
    except ConfigError as error:
        if (cfg.resume is None and not saved) or sweeping:  # in a sweep, for its table
            status.update(folder, state="refused", error=str(error))
        if not sweeping:
            exit_with(error)
        log.error("%s", error)
    except KeyboardInterrupt:
        if status.read(folder)["state"] == "running":
            status.update(folder, state="stopped")
        raise
    except OSError as error:
        message = os_error_message(error, folder)
        release_space()
        with contextlib.suppress(OSError):  # on a read-only disk, or where another process took the space
            status.update(folder, state="failed", error=str(message))
        if not sweeping:
            exit_with(error, folder)
        log.error("%s", message)
    except Exception as error:
        status.update(folder, state="failed", error=f"{type(error).__name__}: {first_line(error)}.")
        if not sweeping:
            exit_with(error)
        log.exception("this job failed")


def has_checkpoint(folder: Path) -> bool:
    """Whether a run in `folder` has saved a checkpoint."""
    return any((folder / "checkpoints").glob("*.pt"))


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
    for name, config in {"config": cfg, "hydra": hydra, "overrides": hydra.hydra.overrides.task}.items():
        with files.atomic_write(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(OmegaConf.to_yaml(config).encode())


def already_done(cfg: DictConfig, folder: Path, saved: bool) -> bool:
    """Whether this job of a sweep that is run again was done before. One that was interrupted is set to resume.

    Args:
        saved: whether it has a checkpoint.
    """
    if not (folder / "status.json").exists():
        return False
    before = status.read(folder)
    by_itself = before["state"] == "stopped" and before["error"]  # trick=track_failures may end a run
    if before["state"] in ("finished", "diverged") or by_itself or (before["state"] == "failed" and not cfg.retry):
        hint = "; retry=true runs it again" if before["state"] == "failed" else ""
        log.info("%s: skipped, since it has %s%s.", folder.name, before["state"], hint)
        return True
    if saved:
        cfg.resume, cfg.trust = str(folder), True  # all of its settings were typed
    return False


def hparams(cfg: DictConfig) -> dict[str, bool | float | str]:
    """What TensorBoard's HParams tab shows of a run: options of groups, settings that all have, what was typed.

    null is left out, so that a column of numbers has nothing else.
    """
    groups = {name: choice for name, choice in HydraConfig.get().runtime.choices.items() if "/" not in name}
    groups["trick"] = f"[{','.join(cfg.trick)}]"  # those of an experiment are not among the choices
    shared = ["seed", "precision", "optim.generator.lr", "optim.discriminator.lr"]
    shared += [f"{section}.{name}" for section in ("noise", "train") for name in cfg[section]]
    typed = [name for name in parse_settings(typed_overrides()) if name not in (*groups, *OPERATIONAL)]
    values = groups | {name: OmegaConf.select(cfg, name) for name in [*shared, *typed]}
    return {
        name: value if isinstance(value, (bool, int, float)) else str(value)
        for name, value in values.items()
        if value is not None
    }


class SweepTable(Callback):
    """Prints each job's outcome after a sweep. The exit code is 1 if one failed or had an error in its settings."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folders = sorted(
            (path.parent for path in Path(config.hydra.sweep.dir).glob("*/status.json")),
            key=lambda folder: int(folder.name.split("_")[0]) if folder.name.split("_")[0].isdigit() else 0,
        )
        table = [["job", "state", "step", "seconds", "D loss", "G loss", "D(x)", "D(G(z))"]]
        metrics = ("discriminator/loss", "generator/loss", "discriminator/real", "discriminator/fake")
        for folder in folders:
            outcome = status.read(folder)
            last = [outcome["last"].get(name) for name in metrics]
            numbers = ["-" if value is None else f"{value:.3f}" for value in last]
            table.append([folder.name, outcome["state"], str(outcome["step"]), f"{outcome['seconds']:.0f}", *numbers])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        print(f"\n{config.hydra.sweep.dir}")
        for row in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if any(status.read(folder)["state"] in ("failed", "refused") for folder in folders):
            sys.exit(1)


def print_summary(cfg: DictConfig, folder: Path) -> None:
    """Print the last lines of a run: its outcome, where its images are, and what to type next."""
    trust = ["trust=true"] if names_outside_code(cfg) else []
    outcome = status.read(folder)
    path = files.relative_path(folder)
    samples = list(files.sample_grids(folder).values())
    reason = f": {outcome['error']}" if outcome["error"] else ""
    print(
        f"\n{outcome['state'].capitalize()} after {outcome['step']} steps and {outcome['seconds']:.0f} seconds{reason}"
    )
    if samples:
        print(f"  images      {files.relative_path(samples[-1])}, {path}/samples.gif")
    print(f"  curves      tensorboard --logdir {shlex.quote(files.relative_path(folder.parent))}")
    print(f"  more        {shell_line('sample.py', quote_override('run', path), 'n=100', *trust)}")
    if outcome["state"] == "stopped":
        print(f"  resume      {shell_line('train.py', quote_override('resume', path), *trust)}")
