"""Processes for the jobs of a sweep, which on Linux share the seconds that imports take.

There each is forked from a process that has made them. It has used neither threads nor a GPU, so that this is safe.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any

from hydra_plugins._gan_planned import STOP_SIGNALS

CAN_FORK = sys.platform == "linux"
PRELOADED = [  # what every run imports
    *("gan.programs", "gan.config.check", "gan.training.build", "gan.training.loop", "gan.training.resume"),
    *("gan.models.dcgan", "gan.models.mlp", "matplotlib.backends.backend_agg", "torch._dynamo"),
    "hydra_plugins.hydra_joblib_launcher._core",
]


def start_process(target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    """Call `target` in a new process that ends with this one, and that has the environment of this one."""
    given = dict(os.environ), target, arguments
    if not CAN_FORK:
        spawned = multiprocessing.get_context("spawn").Process(target=run_target, args=given)
        spawned.start()
        return spawned
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=run_target, args=given)
    with imports_as_here():
        process.start()
    return process


@contextlib.contextmanager
def imports_as_here() -> Iterator[None]:
    """What is started here finds modules where this process does, and hears no signal that stops a sweep.

    A terminal sends it to all processes, and the one that others are forked from has to stay.
    """
    before = dict(os.environ)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    os.environ |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    try:
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
