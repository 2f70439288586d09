"""Train generators of the zoo again: `python -m gan.zoo.make NAME ...`, or all of them without a name.

Needed only after a change to what a command below trains, or to the format of their files.
"""

import subprocess
import sys
from pathlib import Path

import gan
from gan.cli.paths import ZOO

COMMANDS = {  # what follows python train.py
    "digits": ["experiment=speedrun", "dataset=digits", "train.epochs=4"],
    "digits_classes": ["experiment=speedrun", "dataset=digits", "trick=[conditional,spectral_norm]", "train.epochs=4"],
    "mnist": ["experiment=speedrun", "train.epochs=2"],
    "mnist_classes": ["experiment=speedrun", "trick=[conditional,spectral_norm]", "train.epochs=3"],
    "ring8": ["experiment=toy/ring8_r1"],
}
RUNS = Path("outputs", "zoo")


def main() -> None:
    for name in sys.argv[1:] or COMMANDS:
        run = gan.train(*COMMANDS[name], folder=RUNS / name)
        subprocess.run(
            [sys.executable, "-m", "gan.evaluate", f"run={run.folder}", "seeds=3", "parzen=false"], check=True
        )
        print(run.export(ZOO / f"{name}.safetensors", license="mit"))


if __name__ == "__main__":
    main()
