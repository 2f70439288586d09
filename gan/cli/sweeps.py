"""The jobs of a sweep: their folders, the table of their outcomes, and the line that goes on. Imports no torch."""

import contextlib
import importlib
import itertools
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gan.cli.job_settings import describe_difference, drop_replaced, is_done, is_unused, read_settings, to_yaml
from gan.cli.messages import exit_with, explain_error
from gan.cli.names import job_name, sort_key
from gan.cli.overrides import CONFIG_NAME, OPERATIONAL, parse_settings, quote, quote_override, shell_line, single_choice
from gan.cli.sweep_results import Search, SweepRun, search_table, table_lines, write_results
from gan.config.comparison import comparable
from gan.config.errors import ConfigError, invalid_value, printable
from gan.system import files, locks, status
from gan.system.rank import WORLD_SIZE

log = logging.getLogger(__name__)

PLUGINS = {  # ours, in place of Hydra's launchers and sweepers of the same names, by the module of hydra_plugins
    "BasicLauncher": "_gan_launchers",
    "BasicSweeper": "_gan_launchers",
    "JoblibLauncher": "_gan_launchers",
    "LocalLauncher": "_gan_submitit",
    "SlurmLauncher": "_gan_submitit",
    "OptunaSweeper": "_gan_optuna",
}
HYDRAS_SUBDIR = "${hydra.job.num}"  # hydra.sweep.subdir where nobody has set it


def own_yaml_flags(hydra: Any) -> list[str]:
    """The flags with which a run was started that name YAML files of the user's own: --config-dir and --config-name."""
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    flags = [word for folder in folders for word in ("--config-dir", files.relative_path(Path(folder)))]
    return flags if hydra.job.config_name == CONFIG_NAME else [*flags, "--config-name", hydra.job.config_name]


def is_search(config: DictConfig) -> bool:
    """Whether Optuna chooses the jobs."""
    return config.hydra.sweeper._target_.endswith("OptunaSweeper")


def swept_values(overrides: Any, swept: set[str]) -> dict[str, str]:
    """Those of a run's overrides that were swept, by name as it was typed.

    Args:
        overrides: may come from the run's files, and be anything.
    """
    pairs = [str(line).partition("=") for line in overrides] if isinstance(overrides, list) else []
    return {name: value for name, _, value in pairs if name.lstrip("+") in swept}


class Job(NamedTuple):
    """A job of a sweep.

    Args:
        overrides: those of its settings, and of the folder for Hydra.
        settings: the resolved settings, as in .hydra/config.yaml.
    """

    folder: Path
    overrides: list[str]
    settings: Any

    def outcome(self) -> dict[str, Any]:
        """What status.json says, with a state for a job that is not done and has no process of its own."""
        outcome = status.outcome(self.folder)
        is_other = not is_unused(self.folder) and describe_difference(self.folder, self.settings) != ""
        if is_other or not (self.folder / "status.json").exists():
            state = "in use" if locks.is_locked(self.folder / ".lock") else "not started"
            return status.INITIAL | {"state": state}
        return outcome | ({"state": "in use"} if outcome["state"] == "running" else {})


class Sweep(Callback):
    """The jobs of a sweep, in the process that starts them.

    Launchers of ours call `plan` with each batch of jobs, and `print_outcomes` if a signal ends them.
    """

    def __init__(self) -> None:
        self.config = DictConfig({})
        self.jobs: list[Job] = []
        self.found: dict[Path, dict[Path, dict[str, Any]]] = {}  # by parent: the settings of runs before the sweep

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the processes of the jobs."""
        return {}

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Put our launcher in the place of Hydra's with the same name, and our sweeper.

        Ends the program with torchrun, if a search has nothing to minimize (all of its trials would run and fail), and
        if a link in the folder of the sweep leads out of it. Of an error that is raised here, Hydra would only warn.
        """
        try:  # before Hydra writes multirun.yaml there
            files.check_links(Path(config.hydra.sweep.dir))
        except ConfigError as error:
            exit_with(error)
        if WORLD_SIZE > 1:
            exit_with(ConfigError("-m: not possible with torchrun; start each run of a sweep with torchrun instead."))
        if is_search(config) and config.watch.scores_every is None:
            exit_with(invalid_value("watch.scores_every", None, "steps, such as 2000: a search minimizes the FID"))
        self.config = config
        for node in (config.hydra.launcher, config.hydra.sweeper):
            name = node._target_.rpartition(".")[2]
            if name in PLUGINS:  # imported only now, as some need packages that not everybody has
                plugin = getattr(importlib.import_module(f"hydra_plugins.{PLUGINS[name]}"), name)
                Plugins.instance().register(plugin)
                node._target_ = f"{plugin.__module__}.{plugin.__name__}"

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the table; the exit code is 1 if a job failed, had an error in its settings, or is not done."""
        if not self.print_outcomes():
            sys.exit(1)

    def plan(self, loader: ConfigLoader, batch: Sequence[Sequence[str]], first: int) -> list[Job]:
        """Choose a folder for each job of a batch. Raises ConfigError, which names the job, if one cannot be composed.

        Args:
            first: the number of the first job in the sweep.
        """
        return [self.plan_job(loader, list(overrides), number) for number, overrides in enumerate(batch, first)]

    def plan_job(self, loader: ConfigLoader, overrides: list[str], number: int) -> Job:
        swept = self.swept_settings()
        try:
            parent, subdir, settings = self.compose(loader, overrides, number)
        except (HydraException, OmegaConfBaseException) as error:
            varying = [text for text in overrides if text.lstrip("+~").partition("=")[0] in swept]
            where = f", in the job {' '.join(varying)}" if varying else ""
            raise ConfigError(f"{explain_error(error).rstrip('.')}{where}.") from error
        sweep: Any = OmegaConf.to_container(self.config.hydra.sweep, resolve=False)
        is_named = sweep["subdir"] != HYDRAS_SUBDIR
        suffixes = itertools.chain([""], map("_{}".format, itertools.count(2)))
        names = (subdir + suffix if is_named else job_name(overrides, swept, suffix) for suffix in suffixes)
        folder = self.choose_folder((parent / name for name in names), settings)
        place = quote_override("hydra.sweep.subdir", files.relative_path(folder, parent))
        constant = ",".join(quote(name) for name in parse_settings(overrides) if swept and name not in swept)
        same = f"hydra.job.config.override_dirname.exclude_keys=[{constant}]"  # which jobs.hparams leaves out
        job = Job(folder, [*overrides, place, same], settings)
        self.jobs.append(job)
        return job

    def compose(self, loader: ConfigLoader, overrides: list[str], number: int) -> tuple[Path, str, Any]:
        """A job's `hydra.sweep.dir`, `hydra.sweep.subdir` and resolved settings, as its process will have them."""
        hydra = HydraConfig.instance()
        own_config = hydra.cfg
        cfg = loader.load_sweep_config(self.config, overrides)
        with open_dict(cfg):
            cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
        hydra.set_config(cfg)  # for references to it
        try:
            parent, subdir = Path(cfg.hydra.sweep.dir).absolute(), str(cfg.hydra.sweep.subdir)
            drop_replaced(cfg, list(cfg.hydra.overrides.task))
            with open_dict(cfg):
                del cfg["hydra"]
            return parent, subdir, files.parse_yaml(to_yaml(cfg))
        finally:
            hydra.cfg = own_config

    def swept_settings(self) -> set[str]:
        """The settings and groups that have several values in this sweep or search."""
        params = self.config.hydra.sweeper.get("params") or {}
        lines = [*(f"{name}={values}" for name, values in params.items()), *self.config.hydra.overrides.task]
        parsed = OverridesParser.create().parse_overrides([single_choice(line) for line in lines])
        several = {override.key_or_group: override.is_sweep_override() for override in parsed}
        return {name for name, is_swept in several.items() if is_swept}

    def choose_folder(self, candidates: Iterator[Path], settings: Any) -> Path:
        """The folder of a job: one that has its run, or else the first candidate that is unused.

        Two jobs of a sweep never share a folder, also where the file system ignores case.
        """
        taken = {str(job.folder).casefold() for job in self.jobs}
        first = next(candidates)
        if first.parent not in self.found:
            folders = sorted(first.parent.iterdir(), key=sort_key) if first.parent.is_dir() else []
            runs = {folder: read_settings(folder) for folder in folders if not is_unused(folder)}
            self.found[first.parent] = {folder: comparable(runs[folder], OPERATIONAL) for folder in runs}
        found, wanted = self.found[first.parent], comparable(settings, OPERATIONAL)
        same = [folder for folder in found if found[folder] == wanted and str(folder).casefold() not in taken]
        taken |= {str(folder).casefold() for folder in found}
        for folder in itertools.chain([first], candidates):
            if folder in same:
                return folder
            if str(folder).casefold() not in taken:
                break
        if same:
            return same[0]
        if first in found:
            difference = describe_difference(first, settings)
            log.info("%s: has another run (%s); trained in %s.", first.name, difference, folder.name)
        return folder

    def print_outcomes(self) -> bool:
        """Print a table of the jobs, what to type if some are not done, and where the results are.

        Returns whether all are done, and in a search whether a trial has a score.
        """
        folder = Path(self.config.hydra.sweep.dir)
        swept = self.swept_settings()
        runs = [SweepRun(job.folder, swept_values(job.overrides, swept), job.outcome()) for job in self.jobs]
        search = self.search()
        best = search.best(runs) if search else None
        lines = ["", str(folder), *(search_table(runs, search) if search else table_lines(runs, folder))]
        if search:
            rerun = [self.rerun_line(job) for job in self.jobs if best and job.folder == best.folder]
            lines.append(f"  best trial  {rerun[0] if rerun else 'none: no trial has a score'}")
        states = [run.outcome["state"] for run in runs if not is_done(run.outcome)]
        if set(states) - {"failed", "refused"}:
            lines.append(f"  resume      {self.resume_line()}")
        print("\n".join(map(printable, lines)), flush=True)
        if runs:
            print("\n".join(map(printable, write_results([*runs, *self.earlier_runs(swept)], folder, search))))
        return not states and (search is None or best is not None)

    def earlier_runs(self, swept: set[str]) -> list[SweepRun]:
        """The runs that were there before the sweep, and are not among its jobs."""
        jobs, runs = {job.folder for job in self.jobs}, []
        for folder in (folder for found in self.found.values() for folder in found if folder not in jobs):
            overrides = None
            with contextlib.suppress(OSError, ValueError):
                overrides = files.read_yaml(folder / ".hydra" / "overrides.yaml")
            runs.append(SweepRun(folder, swept_values(overrides, swept), status.outcome(folder)))
        return runs

    def search(self) -> Search | None:
        """What Optuna's sweeper looks for; None in a sweep."""
        direction = str(self.config.hydra.sweeper.get("direction"))
        return Search(maximizes=direction.endswith("maximize")) if is_search(self.config) else None

    def rerun_line(self, job: Job) -> str:
        """The command line that makes the run of a job again, by itself."""
        overrides = [line for line in job.overrides if not line.startswith("hydra.")]
        return shell_line("train.py", *own_yaml_flags(self.config.hydra), *overrides, "hydra.mode=RUN")

    def resume_line(self) -> str:
        """The command line that goes on with this sweep."""
        hydra = self.config.hydra
        typed = (*hydra.overrides.task, *hydra.overrides.hydra)
        overrides = [single_choice(line) for line in typed if not line.startswith("hydra.mode=")]  # which -m is
        if not any(line.startswith("hydra.sweep.dir=") for line in overrides):
            overrides.append(quote_override("hydra.sweep.dir", hydra.sweep.dir))
        return shell_line("train.py", "-m", *own_yaml_flags(hydra), *overrides)
