"""Launchers in place of Hydra's of the same names: each job in a folder of its own, and a sweep that ends in order.

Hydra takes plugins from a package of this name only. It does not load a module with a leading underscore by itself:
`gan.cli.sweeps.Sweep` does in a sweep.
"""

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from hydra._internal.core_plugins import basic_launcher, basic_sweeper
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from hydra_plugins.hydra_joblib_launcher import joblib_launcher

from gan.cli.sweeps import Job
from gan.system import status
from hydra_plugins._gan_planned import STOP_SIGNALS, PlannedLauncher, on_signals
from hydra_plugins._gan_processes import SERVER_IS_GONE, start_process, terminate

log = logging.getLogger(__name__)


class BasicSweeper(basic_sweeper.BasicSweeper):
    """Hydra's, without its check that the jobs can be composed: the launcher's names the one that cannot."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        pass


class BasicLauncher(PlannedLauncher, basic_launcher.BasicLauncher):
    """One job after the other, in this process."""


class JoblibLauncher(PlannedLauncher, joblib_launcher.JoblibLauncher):
    """Up to `n_jobs` jobs at once, each in a process of its own.

    In joblib's pool, a process that is killed takes the others with it, and a signal leaves all of them running.
    """

    def launch_jobs(self, jobs: list[Job], first: int) -> Sequence[JobReturn]:
        from joblib import cpu_count, effective_n_jobs

        setup_globals()
        assert self.config is not None
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        at_once = effective_n_jobs(self.joblib["n_jobs"])
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cpu_count() // at_once)))  # they share the cores
        log.info("Launching %d jobs, %d at once", len(jobs), at_once)
        waiting = list(enumerate(jobs))
        running: dict[Any, tuple[int, BaseProcess]] = {}
        results: dict[int, JobReturn] = {}
        received = 0

        def stop(number: int) -> None:
            nonlocal received
            received = number
            for _, process in running.values():
                terminate(process)  # it saves and ends

        with on_signals(STOP_SIGNALS, stop):
            while running or (waiting and not received):
                while waiting and len(running) < at_once and not received:
                    number, job = waiting.pop(0)
                    log.info("\t#%d : %s", first + number, " ".join(filter_overrides(job.overrides)))
                    result, process = self.start(job, first + number)
                    running[result] = number, process
                    if received:  # while it was started
                        terminate(process)
                for ready in connection.wait(list(running)):
                    number, process = running.pop(ready)
                    results[number] = receive(ready, process, jobs[number], bool(received))
        if received:
            sys.exit(128 + received)
        return [results[number] for number in range(len(jobs))]

    def start(self, job: Job, number: int) -> tuple[connection.Connection, BaseProcess]:
        """Start the process of a job. Returns the end of a pipe that receives its result, and the process."""
        from hydra_plugins.hydra_joblib_launcher._core import execute_job
        from joblib import wrap_non_picklable_objects

        arguments = number, job.overrides, self.hydra_context, self.config, self.task_function, Singleton.get_state()
        work = wrap_non_picklable_objects(functools.partial(execute_job, *arguments))
        receiver, sender = multiprocessing.Pipe(duplex=False)
        process = start_process(work_and_send, (work, sender))
        sender.close()
        return receiver, process


def work_and_send(work: Callable[[], JobReturn], sender: connection.Connection) -> None:
    """In the process of a job."""
    sender.send(work().return_value)


def receive(result: Any, process: BaseProcess, job: Job, stopping: bool) -> JobReturn:
    """What a job returned; nothing if its process was killed, which its status then says."""
    returned = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
    has_returned = False
    with contextlib.suppress(EOFError):
        returned.return_value = result.recv()
        has_returned = True
    process.join()
    code = process.exitcode or 0
    if (code < 0 or (code == SERVER_IS_GONE and not has_returned)) and not stopping:
        name = signal.Signals(-code).name if code < 0 else "a signal"
        sentence = f"its process was killed by {name} (out of memory?); the same command goes on with it."
        log.error("%s: %s", job.folder.name, sentence)
        if job.outcome()["state"] == "interrupted":
            with contextlib.suppress(OSError):
                status.update(job.folder, error=sentence)
    return returned
