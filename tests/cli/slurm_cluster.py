"""A real SLURM cluster of this machine alone: Debian's packages slurm-wlm and munge, without systemd.

`python -m tests.cli.slurm_cluster FOLDER` starts one, to try things, until Ctrl-C.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch"]
START_SECONDS = 30

# A node of eight processors, however many this machine has. Jobs in `urgent` preempt those in `main`, which are warned.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL PriorityTier=2
"""


def find(name: str) -> str | None:
    """The path of a program, also of one for root alone."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def daemon_lines(folder: Path) -> list[list[str]]:
    munge = [f"--{name}={folder}/munge.{name}" for name in ("socket", "key-file", "log-file", "seed-file", "pid-file")]
    return [["munged", "--foreground", "--force", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """A cluster with its state in `folder`. Yields the path of its configuration, for the variable SLURM_CONF.

    Raises TimeoutError, with where the logs are, if it does not start. Its jobs do not outlive it.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key-file").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key-file").chmod(0o400)
    host, user = socket.gethostname().partition(".")[0], pwd.getpwuid(os.getuid()).pw_name
    ports = {"controller_port": free_port(), "node_port": free_port()}
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, host=host, user=user, **ports))
    environment = os.environ | {"SLURM_CONF": str(config)}
    with contextlib.ExitStack() as stack:
        for name, *arguments in daemon_lines(folder):
            out = stack.enter_context((folder / f"{name}.out").open("wb"))
            line = [find(name) or name, *arguments]  # in a session of its own, which Ctrl-C does not reach
            daemon = subprocess.Popen(line, env=environment, stdout=out, stderr=out, start_new_session=True)
            stack.callback(daemon.wait, START_SECONDS)
            stack.callback(daemon.terminate)
            if name == "munged":
                wait_until((folder / "munge.socket").exists, folder)
        wait_until(lambda: "idle" in output_of("sinfo", environment), folder)
        stack.callback(wait_until, lambda: not output_of("squeue", environment), folder)
        stack.callback(kill_jobs, environment)
        yield str(config)


def kill_jobs(environment: Mapping[str, str]) -> None:
    for options in (["--state=PENDING"], ["--full", "--signal=KILL"]):
        subprocess.run(["scancel", "--me", *options], env=environment, check=False)


def output_of(command: str, environment: Mapping[str, str]) -> str:
    line = [command, "--noheader"]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False).stdout


def wait_until(condition: Callable[[], Any], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"SLURM does not answer; its logs are in {folder}")
        time.sleep(0.1)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell ignores SIGINT in the background
        signal.signal(number, signal.default_int_handler)
    with running(Path(sys.argv[1]).absolute()) as conf, contextlib.suppress(KeyboardInterrupt):
        print(f"export SLURM_CONF={conf}", flush=True)
        signal.pause()
