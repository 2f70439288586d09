"""Programs in children of this process, which has already imported torch: ten times as fast as new processes."""

import os
import re
import resource
import runpy
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra

ROOT = Path(__file__).parent.parent
MAX_MEMORY_BYTES = 3 * 2**30  # that a program may allocate, beyond what this process has
TIMEOUT_SECONDS = 100  # on a machine that also runs other tests


class CompletedProgram(NamedTuple):
    """Exit code (minus the signal's number if a signal ended the program) and output."""

    returncode: int
    stdout: str
    stderr: str

    def is_clean_exit(self) -> bool:
        """Whether it succeeded, or failed with one sentence on stderr or with failed runs in the table of a sweep."""
        message = self.stderr.strip()
        if "Traceback" in message + self.stdout:
            return False
        if self.returncode in (1, 2):
            one_sentence = "\n" not in message and message.endswith(".")
            in_table = not message and any(f"  {state}  " in self.stdout for state in ("refused", "failed"))
            return one_sentence or in_table
        return self.returncode == 0


def run(program: str, *arguments: str, folder: Path = ROOT, **environment: str) -> CompletedProgram:
    """`python PROGRAM ARGUMENTS` in `folder`, or `python -m PROGRAM` for a module.

    `MAX_FILE_BYTES` in the environment limits the size of the files that it writes; `CLOSED_OUTPUT` names the outputs,
    1 or 1,2, that nobody reads.
    """
    return run_all([environment], program, arguments, folder)[0]


def run_ranks(world_size: int, program: str, *arguments: str) -> list[CompletedProgram]:
    """Like torchrun: `world_size` processes at once, each with its rank and the address of rank 0.

    Their stderr is without torch's warning that this address has no name, where no name server answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {name: str(world_size) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
    environments = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world_size)]
    return [
        done._replace(stderr=re.sub(r"^\[W.* hostname of the client socket cannot.*\n", "", done.stderr, flags=re.M))
        for done in run_all(environments, program, arguments, ROOT)
    ]


def run_all(
    environments: list[dict[str, str]], program: str, arguments: tuple[str, ...], folder: Path
) -> list[CompletedProgram]:
    """The program in one child for each of `environments`, all at once."""
    with tempfile.TemporaryDirectory() as parent, ExitStack() as timers:
        children = []
        for number, environment in enumerate(environments):
            output = Path(parent, str(number))
            output.mkdir()
            child = fork(program, arguments, folder, output, environment)
            children.append((child, output))
            timer = threading.Timer(TIMEOUT_SECONDS, os.kill, (child, signal.SIGKILL))
            timer.start()
            timers.callback(timer.cancel)
        completed = []
        for child, output in children:
            returncode = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = ((output / name).read_text(errors="replace") for name in ("stdout", "stderr"))
            completed.append(CompletedProgram(returncode, *texts))
        return completed


def fork(program: str, arguments: tuple[str, ...], folder: Path, output: Path, environment: dict[str, str]) -> int:
    """Start the program in a child. Returns its process ID."""
    child = os.fork()
    if child:
        return child
    code = 70
    # Hydra will load its plugins anew, and ours, which derive from them, must not be older.
    for name in [name for name in sys.modules if name.startswith("hydra_plugins._gan_")]:
        del sys.modules[name]
        delattr(sys.modules["hydra_plugins"], name.rpartition(".")[2])
    try:
        execute(program, arguments, folder, output, environment)
        code = 0
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def execute(program: str, arguments: tuple[str, ...], folder: Path, output: Path, environment: dict[str, str]) -> None:
    """In the child: run the program, with its output in files and its memory limited."""
    os.chdir(folder)
    os.environ |= environment
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    for number in filter(None, environment.get("CLOSED_OUTPUT", "").split(",")):
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, int(number))
    for number in (signal.SIGTERM, signal.SIGHUP):  # whatever this process was started with
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    if Path("/proc/self/statm").exists():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MAX_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if "MAX_FILE_BYTES" in environment:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(environment["MAX_FILE_BYTES"]),) * 2)
    GlobalHydra.instance().clear()
    if "RANK" in environment:  # which is read when gan is imported
        for name in [name for name in sys.modules if name.partition(".")[0] == "gan"]:
            del sys.modules[name]
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(str(ROOT / program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def run_in_two_threads(function: Callable[[], Any]) -> list[Any]:
    """Call `function` in two threads that start together. Returns both results."""
    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: (barrier.wait(), function())[1], range(2)))
