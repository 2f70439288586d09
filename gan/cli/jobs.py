"""A run as a job of Hydra's: its lock, its state whatever happens, sweeps taken up, and the table. Imports no torch."""

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
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from gan.cli.messages import exit_with, os_error_message
from gan.cli.overrides import BESIDES, quote_override, shell_line
from gan.config.errors import ConfigError, first_line
from gan.metrics.catalogue import headline
from gan.system import files, status
from gan.system.rank import WORLD_SIZE

log = logging.getLogger(__name__)


def run_job(work: Callable[[DictConfig, Path], int], cfg: DictConfig) -> float | None:
    """Do a Hydra job's work, so that status.json says what became of it whatever happens.

    `work` returns the number of the signal that stopped it, or 0. In a sweep, a job that is refused or fails
    leaves the others alone; alone, it ends the program. Returns what a search minimises.
    """
    drop_replaced_tricks(cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    if sweeping and WORLD_SIZE > 1:
        exit_with(ConfigError("a sweep cannot be shared by several processes: start each of its runs with torchrun."))
    try:
        with FileLock(folder / ".lock", timeout=0):  # the system lets go of it when the process dies
            saved = has_checkpoint(folder)
            if not (sweeping and already_settled(cfg, folder, saved)):
                with files.reserve_space(folder) as give_back:
                    locked_job(work, cfg, folder, sweeping, saved, give_back)
    except Timeout:
        refusal = ConfigError(
            f"{folder} is in use: another process is training there. Choose another: hydra.run.dir=... names it."
        )
        if not sweeping:
            exit_with(refusal)
        log.error("%s", refusal)
    return objective(folder)


def objective(folder: Path) -> float | None:
    """What a search minimizes: the last FID of the run, or None if it diverged."""
    run = status.read(folder)
    score = headline(run["scores"])
    return None if run["state"] == "diverged" or score is None else score[1]


def drop_replaced_tricks(cfg: DictConfig) -> None:
    """Drop the numbers that an experiment has for its own tricks, where `trick=...` was typed and has none of them."""
    parser = OverridesParser.create()
    typed = [parser.parse_override(override) for override in HydraConfig.get().overrides.task]
    lists = [override.value() or [] for override in typed if override.key_or_group == "trick"]
    if not lists or not isinstance(cfg.trick, DictConfig):
        return
    chosen = lists[-1] if isinstance(lists[-1], list) else [lists[-1]]
    with open_dict(cfg):
        for name, node in dict(cfg.trick).items():
            if name not in chosen and isinstance(node, DictConfig) and "_target_" not in node:
                del cfg.trick[name]


def locked_job(
    work: Callable[[DictConfig, Path], int],
    cfg: DictConfig,
    folder: Path,
    sweeping: bool,
    saved: bool,
    make_room: Callable[[], None],
) -> None:
    """The same, once no other process can be in `folder`; `make_room` on a full disk.

    Args:
        saved: whether there is a run in the folder already, which keeps what is known of it if this one is refused.
    """
    try:
        if cfg.resume is None and (sweeping or not saved):
            write_hydra_files(cfg, folder)
        if stopped_by := work(cfg, folder):
            if stopped_by not in (signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(stopped_by)  # all is saved: now submitit may queue the job again
            sys.exit(128 + stopped_by)
    except ConfigError as error:
        if (cfg.resume is None and not saved) or sweeping:  # in a sweep, for its table
            status.update(folder, state="refused", error=str(error))
        if not sweeping:
            exit_with(error)
        log.error("%s", error)
    except KeyboardInterrupt:
        if status.read(folder)["state"] == "running":  # or it has not come to change what was there
            status.update(folder, state="stopped")
        raise
    except OSError as error:
        refusal = os_error_message(error, folder)
        make_room()
        with contextlib.suppress(OSError):  # where the disk is read-only, or somebody else took the room
            status.update(folder, state="failed", error=str(refusal))
        if not sweeping:
            exit_with(error, folder)
        log.error("%s", refusal)
    except Exception as error:
        status.update(folder, state="failed", error=f"{type(error).__name__}: {first_line(error)}.")
        if not sweeping:
            exit_with(error)
        log.exception("this job failed")


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has come to a checkpoint there."""
    return any((folder / "checkpoints").glob("*.pt"))


def check_unused(folder: Path) -> None:
    """Raise ConfigError for a new run where another lies. A sweep takes its own jobs up."""
    if HydraConfig.get().mode != RunMode.MULTIRUN and has_checkpoint(folder):
        again = quote_override("resume", str(folder))
        raise ConfigError(f"{folder} holds a run: {again} goes on with it, another hydra.run.dir begins anew.")


def write_hydra_files(cfg: DictConfig, folder: Path) -> None:
    """Keep what was asked for in `.hydra`.

    Hydra itself would do so before it is known whether a run that is there already can go on with that.
    """
    hydra = HydraConfig.instance().cfg
    for name, config in {"config": cfg, "hydra": hydra, "overrides": hydra.hydra.overrides.task}.items():
        with files.atomic_write(folder / ".hydra" / f"{name}.yaml") as file:
            file.write(OmegaConf.to_yaml(config).encode())


def already_settled(cfg: DictConfig, folder: Path, saved: bool) -> bool:
    """Whether an earlier attempt at this sweep has settled this job. One that was cut short is set to go on.

    Args:
        saved: whether it left a checkpoint.
    """
    if not (folder / "status.json").exists():
        return False
    before = status.read(folder)
    by_itself = before["state"] == "stopped" and before["error"]  # trick=track_failures may end a run
    if before["state"] in ("finished", "diverged") or by_itself or (before["state"] == "failed" and not cfg.retry):
        hint = "; retry=true would run it again" if before["state"] == "failed" else ""
        log.info("%s %s before and is left alone%s.", folder.name, before["state"], hint)
        return True
    if saved:
        cfg.resume = str(folder)
    return False


def hparams() -> dict[str, Any]:
    """What was chosen for each group and what else was asked, for the HParams tab."""
    chosen = {
        group: name
        for group, name in HydraConfig.get().runtime.choices.items()
        if not group.startswith("hydra/") and name is not None
    }
    for override in HydraConfig.get().overrides.task:
        name, _, value = override.lstrip("+").partition("=")
        if name not in BESIDES:
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


def print_summary(folder: Path) -> None:
    """The last lines of a run: what became of it, where the images are, and what to type next."""
    found = status.read(folder)
    shown = files.relative_path(folder)
    samples = sorted((folder / "samples").glob("step_*.png"))
    why = f": {found['error']}" if found["error"] else ""
    print(f"\n{found['state'].capitalize()} after {found['step']} steps and {found['seconds']:.0f} seconds{why}")
    if samples:
        print(f"  images    {files.relative_path(samples[-1])}, and the film {shown}/samples.gif")
    print(f"  curves      tensorboard --logdir {shlex.quote(files.relative_path(folder.parent))}")
    print(f"  more        {shell_line('sample.py', quote_override('run', shown), 'n=100')}")
    if found["state"] == "stopped":
        print(f"  go on       {shell_line('train.py', quote_override('resume', shown))}")
