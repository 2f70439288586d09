"""Starts the process of a SLURM job: `python _gan_slurm_job.py -u -m submitit.core._submit FOLDER`, from anywhere."""

import runpy
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])  # it would end the job; SlurmLauncher lets it through
    sys.path[0] = str(Path(__file__).parent.parent)  # the folder of `gan`, which the job's own folder need not be
    module, folder = sys.argv[-2:]
    sys.argv[1:] = [folder]
    runpy.run_module(module, run_name="__main__")
