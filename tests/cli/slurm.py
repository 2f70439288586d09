"""A fake SLURM cluster of one machine, whose commands start jobs at once.

`sbatch` starts a script once for each element of its array, `srun` runs a command, `scontrol requeue` starts a job
again, and `squeue` does not answer. The submitted script and the process ids are kept in the folder.
"""

import os
import stat
from pathlib import Path

COMMANDS = {
    "sbatch": """
cp "$1" {folder}/script.sh
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
if [ -z "$last" ]; then {folder}/bin/start 100 & fi
for task in $([ -z "$last" ] || seq 0 "$last"); do {folder}/bin/start "100_$task" & done
echo "Submitted batch job 100"
""",
    "start": """
case "$1" in
100_*) export SLURM_JOB_ID=1$1 SLURM_ARRAY_JOB_ID=100 SLURM_ARRAY_TASK_ID=${{1#*_}};;
*) export SLURM_JOB_ID=$1;;
esac
export SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_JOB_NODELIST=here
exec bash {folder}/script.sh >> {folder}/out 2>&1
""",
    "srun": """
while [ "${{1#-}}" != "$1" ]; do case "$1" in --output|--error) shift 2;; *) shift;; esac; done
echo $$ > "{folder}/pid_$SLURM_JOB_ID"
exec "$@"
""",
    "scontrol": """
[ "$1" = requeue ] || exit 0
echo "$*" >> {folder}/requeued
{folder}/bin/start "$2" > /dev/null 2>&1 &
""",
    "squeue": "exit 1\n",
}


def install(folder: Path) -> str:
    """Write the commands to `folder`/bin. Returns the PATH that has them."""
    (folder / "bin").mkdir()
    for name, script in COMMANDS.items():
        path = folder / "bin" / name
        path.write_text(
            "#!/usr/bin/env bash" + script.format(folder=folder)
            if script[0] == "\n"
            else f"#!/usr/bin/env bash\n{script}"
        )
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
