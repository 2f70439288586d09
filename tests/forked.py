"""A program in a child of this process, which has imported torch already: ten times as quick as a new process."""

import os
import resource
import runpy
import signal
import sys
import tempfile
import threading
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
        """Whether it ran, or was refused or failed in one sentence."""
        if self.returncode in (1, 2):
            said = self.stderr.strip()
            return "\n" not in said and said.endswith(".") and "Traceback" not in said
        return self.returncode == 0 and "Traceback" not in self.stderr


def run(program: str, *arguments: str, folder: Path = ROOT, **environment: str) -> Done:
    """`python PROGRAM ARGUMENTS` in `folder`, or `python -m PROGRAM` where that is no file."""
    with tempfile.TemporaryDirectory() as words:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                become(program, arguments, folder, Path(words), environment)
                code = 0
            except SystemExit as leaving:
                if isinstance(leaving.code, str):
                    print(leaving.code, file=sys.stderr)
                code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
            except BaseException as error:
                sys.excepthook(type(error), error, error.__traceback__)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        timer = threading.Timer(PATIENCE, os.kill, (child, signal.SIGKILL))
        timer.start()
        _, status = os.waitpid(child, 0)
        timer.cancel()
        said = [Path(words, name).read_text(errors="replace") for name in ("stdout", "stderr")]
    return Done(os.waitstatus_to_exitcode(status), *said)


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
    GlobalHydra.instance().clear()
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(str(ROOT / program), run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
