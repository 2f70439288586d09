"""Processes for the jobs of a sweep, which on Linux share the seconds that imports take.

There each is forked from a process that has made them. It has used neither threads nor a GPU, so that this is safe.
It is reached through a socket; where there can be none, each job has imports of its own.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from hydra_plugins._gan_planned import STOP_SIGNALS

CAN_FORK = sys.platform == "linux"
PRELOADED = [  # what every run imports
    *("gan.programs", "gan.config.check", "gan.training.build", "gan.training.loop", "gan.training.resume"),
    *("gan.models.dcgan", "gan.models.mlp", "matplotlib.backends.backend_agg", "torch._dynamo"),
    "hydra_plugins.hydra_joblib_launcher._core",
]
SERVER_IS_GONE = 255  # exit code of a process, maybe still running, if what it was forked from has been killed


def start_process(target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    """Call `target` in a new process that ends with this one, and that has the environment of this one."""
    process_class: Callable[..., BaseProcess] = multiprocessing.get_context("spawn").Process
    if CAN_FORK and can_have_socket():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        process_class = context.Process
    process = process_class(target=run_target, args=(dict(os.environ), target, arguments))
    with imports_as_here() if CAN_FORK else contextlib.nullcontext():
        process.start()
    return process


def can_have_socket() -> bool:
    """Whether there can be a socket among the temporary files: the path of one has at most 107 bytes."""
    try:
        connection.Listener(family="AF_UNIX").close()
    except OSError:
        return False
    return True


def terminate(process: BaseProcess) -> None:
    """Send SIGTERM, also where `process.terminate` takes it for ended: see `SERVER_IS_GONE`."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)


@contextlib.contextmanager
def imports_as_here() -> Iterator[None]:
    """What is started here finds modules where this process does, and hears no signal that stops a sweep.

    A terminal, and `timeout`, send it to all processes, and the one that others are forked from has to stay.
    """
    before = dict(os.environ)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        os.environ |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
        resource_tracker.ensure_running()  # multiprocessing would start it first, which unblocks SIGINT and SIGTERM
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def run_target(environment: dict[str, str], target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """What the new process does."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the sweep alone, which passes it on
    if CAN_FORK:  # what `imports_as_here` changed is changed back
        os.environ.clear()
        os.environ.update(environment)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    threading.Thread(target=stop_with_parent, daemon=True).start()
    target(*arguments)


def stop_with_parent() -> None:
    """Save and end this job if the process of the sweep is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
