"""A program in a child of this process, which has imported torch already: ten times as quick as a new process."""

import os
import resource
import runpy
import signal
import socket
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from hydra.core.global_hydra import GlobalHydra

ROOT = Path(__file__).parent.parent
MOST_MEMORY = 3 * 2**30  # bytes that it may ask for, beyond what this process has
PATIENCE = 100  # seconds, on a machine that is busy with other tests


class Done(NamedTuple):
    """How it ended: its exit code (minus the signal's number if one killed it), and what it said."""

    returncode: int
    stdout: str
    stderr: str

    def is_fair(self) -> bool:
        """Whether it ran, or was refused or failed in one sentence; a sweep's table says which of its runs were."""
        said = self.stderr.strip()
        if self.returncode in (1, 2):
            one_sentence = "\n" not in said and said.endswith(".")
            in_a_table = not said and any(f"  {state}  " in self.stdout for state in ("refused", "failed"))
            return (one_sentence or in_a_table) and "Traceback" not in said + self.stdout
        return self.returncode == 0 and "Traceback" not in said + self.stdout


def run(program: str, *arguments: str, folder: Path = ROOT, **environment: str) -> Done:
    """`python PROGRAM ARGUMENTS` in `folder`, or `python -m PROGRAM` where that is no file.

    `LARGEST_FILE` in the environment is a number of bytes that no file there may grow past.
    """
    return started([environment], program, arguments, folder)[0]


def together(count: int, program: str, *arguments: str) -> list[Done]:
    """What torchrun does: as many processes at once, each told its number and where the first can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    ranks = [where | {"RANK": str(number), "LOCAL_RANK": str(number)} for number in range(count)]
    return started(ranks, program, arguments, ROOT)


def started(environments: list[dict[str, str]], program: str, arguments: tuple[str, ...], folder: Path) -> list[Done]:
    """The program in a child for each of `environments`, all at once."""
    with tempfile.TemporaryDirectory() as parent, ExitStack() as timers:
        children = []
        for number, environment in enumerate(environments):
            words = Path(parent, str(number))
            words.mkdir()
            children.append((fork(program, arguments, folder, words, environment), words))
            timer = threading.Timer(PATIENCE, os.kill, (children[-1][0], signal.SIGKILL))
            timer.start()
            timers.callback(timer.cancel)
        done = []
        for child, words in children:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            done.append(Done(code, *((words / name).read_text(errors="replace") for name in ("stdout", "stderr"))))
        return done


def fork(program: str, arguments: tuple[str, ...], folder: Path, words: Path, environment: dict[str, str]) -> int:
    """Begin the program in a child, whose number is returned."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        become(program, arguments, folder, words, environment)
        code = 0
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def become(program: str, arguments: tuple[str, ...], folder: Path, words: Path, environment: dict[str, str]) -> None:
    """In the child: be that program, with its output in files and a bound on its memory."""
    os.chdir(folder)
    os.environ |= environment
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(words / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    if Path("/proc/self/statm").exists():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if "LARGEST_FILE" in environment:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(environment["LARGEST_FILE"]),) * 2)
    GlobalHydra.instance().clear()
    if "RANK" in environment:  # is read when the project is imported
        for name in [name for name in sys.modules if name.partition(".")[0] == "gan"]:
            del sys.modules[name]
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(str(ROOT / program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
