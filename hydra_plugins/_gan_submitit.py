"""Submitit's launchers. A job on a SLURM cluster has a name in its queue, and however it ends, its sweep says so."""

import contextlib
import io
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher import submitit_launcher
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from submitit import AutoExecutor, JobEnvironment
from submitit.core import core
from submitit.core.utils import FailedJobError, pickle_load
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from gan.cli.sweeps import Job
from gan.config.errors import ConfigError, first_line
from gan.system import locks, status
from hydra_plugins import _gan_slurm_job
from hydra_plugins._gan_planned import PlannedLauncher

log = logging.getLogger(__name__)

# States of a job that never runs again; in others it is GONE in the end, minutes later. One that is COMPLETED has a
# result, which other machines may see later.
ENDED = {"BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT", "GONE"}
QUEUE_SECONDS = 30  # at most, between two looks at SLURM's queue
SQUEUE = ["squeue", "--noheader", "--array", "--states=all"]


class SubmittedLauncher(PlannedLauncher):
    """Mixed into submitit's launchers: queues a job again that had to stop, once all is saved."""

    def __call__(self, *arguments: Any) -> JobReturn:
        """The work of a job, in its process."""
        try:
            return super().__call__(*arguments)  # type: ignore[misc]
        except SystemExit as stopped:
            if isinstance(stopped.code, int) and self.goes_on(stopped.code - 128):
                signal.raise_signal(signal.SIGUSR2)  # which submitit handles
            raise

    def goes_on(self, number: int) -> bool:
        """Whether a job that was stopped by this signal has to go on later."""
        return number == getattr(signal, "SIGUSR2", None)


class LocalLauncher(SubmittedLauncher, submitit_launcher.LocalLauncher):
    """Submitit's processes on this machine."""


class SlurmLauncher(SubmittedLauncher, submitit_launcher.SlurmLauncher):
    """Submitit's jobs on a SLURM cluster."""

    params: dict[str, Any]
    config: Any

    def launch_jobs(self, jobs: list[Job], first: int) -> Sequence[JobReturn]:
        submitted = self.submit(jobs, first)
        number = submitted[0].job_id.partition("_")[0]
        for slurm_job, job in zip(submitted, jobs, strict=True):
            log.info("\t%s : %s", slurm_job.job_id, job.folder.name)
        log.info("SLURM has the jobs; with their names: squeue --me --format='%.12i %.9T %.10M %.20R %j'")
        ended: dict[str, JobReturn] = {}
        try:
            while len(ended) < len(jobs):
                for slurm_job, job in zip(submitted, jobs, strict=True):
                    if slurm_job.job_id not in ended and slurm_job.done():
                        ended[slurm_job.job_id] = receive(slurm_job, job)
                time.sleep(1)
        except (SystemExit, KeyboardInterrupt):
            log.warning("The jobs go on without this process; to end them type: scancel %s", number)
            raise
        return [ended[slurm_job.job_id] for slurm_job in submitted]

    @property
    def name(self) -> str:
        """That of the sweep in SLURM's queue."""
        return f"{self.params['name']}:{Path(self.config.hydra.sweep.dir).absolute().name}"

    def submit(self, jobs: list[Job], first: int) -> list[core.Job[JobReturn]]:
        """Submit the jobs of a sweep as one array. Raises ConfigError where that is not possible."""
        parameters = self.params | {"name": self.name}
        folder, attempts = parameters.pop("submitit_folder"), parameters.pop("max_num_timeout")
        shared = BaseQueueConf.__dataclass_fields__
        named = {name if name in shared else f"slurm_{name}": value for name, value in parameters.items()}
        python = f"{shlex.quote(sys.executable)} -u {shlex.quote(_gan_slurm_job.__file__)}"
        state = Singleton.get_state()
        work = [(job.overrides, "hydra.sweep.dir", n, job.folder.name, state) for n, job in enumerate(jobs, first)]
        SlurmJob.watcher = QueueWatcher(QUEUE_SECONDS)
        if not shutil.which("sbatch"):
            raise ConfigError("hydra/launcher=slurm: this machine has no sbatch; hydra/launcher=joblib needs no SLURM.")
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # sbatch's, which the error has
                executor = AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=attempts, slurm_python=python)
                executor.update_parameters(**named)
                return executor.map_array(self, *zip(*work, strict=True))
        except NameError as error:
            raise ConfigError(f"hydra.launcher: {first_line(error)}.") from error
        except FailedJobError as error:
            reason = first_line(error).removeprefix("sbatch: error: ")
            advice = "`sinfo` lists partitions, and conf/hydra/launcher/slurm.yaml settings"
            raise ConfigError(f"hydra/launcher=slurm: sbatch takes no job: {reason}; {advice}.") from error

    def __call__(self, overrides: list[str], folder_key: str, number: int, name: str, state: Any) -> JobReturn:
        """The work of a job, in its process: under its name, and on its own cores."""
        output_of("scontrol", "update", f"JobId={JobEnvironment().job_id}", f"JobName={self.name}/{name}")
        if cores := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cores)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        return super().__call__(overrides, folder_key, number, name, state)

    def goes_on(self, number: int) -> bool:
        """Also after SIGTERM, if SLURM preempts the job; it sends the same to one that is cancelled or out of time."""
        if number != signal.SIGTERM:
            return super().goes_on(number)
        return output_of(*SQUEUE, "--format=%T", f"--jobs={JobEnvironment().job_id}").strip() == "RUNNING"


def output_of(*command: str) -> str:
    """What a program prints; nothing where it is missing or does not answer, which costs no run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


class QueueWatcher(SlurmInfoWatcher):
    """Looks at SLURM's queue: sacct, which submitit asks, lists no job on a cluster without a database."""

    def _make_command(self) -> list[str]:
        return [*SQUEUE, f"--user={os.getuid()}", "--format=%i %T"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        text = string.decode() if isinstance(string, bytes) else string
        states = dict(line.split() for line in text.splitlines())
        return {job: {"State": states.get(job, "GONE")} for job in self._registered}

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        return self.get_state(job_id, mode) in ENDED


def receive(slurm_job: core.Job[JobReturn], job: Job) -> JobReturn:
    """What a job returned; nothing if it was cancelled or failed, which is logged."""
    returned = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
    if slurm_job.paths.result_pickle.exists():
        outcome, result = pickle_load(slurm_job.paths.result_pickle)
        if outcome == "success":
            return result
        end = result.strip().splitlines()[-1].rstrip(".")
    else:
        end = slurm_job.state.replace("_", " ").lower()
    log.error(
        "%s: SLURM job %s ended without a result (%s); the same command goes on with it; log: %s",
        *(job.folder.name, slurm_job.job_id, end, slurm_job.paths.stderr),
    )
    if job.outcome()["state"] in ("interrupted", "in use") and not locks.is_locked(job.folder / ".lock"):
        status.update(job.folder, state="stopped")
    return returned
