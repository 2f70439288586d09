"""The command `python -m gan PROGRAM ...`: the programs by name, from any folder."""

import sys

from gan import programs

PROGRAMS = {
    "train": programs.train,
    "sample": programs.sample,
    "evaluate": programs.evaluate,
    "report": programs.report,
    "data": programs.data,
}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in PROGRAMS:
        usage = f"python -m gan {'|'.join(PROGRAMS)} ...; each has --help."
        sys.exit(usage if name in ("", "-h", "--help") else f"{name}: no such program; type {usage}")
    del sys.argv[1]
    PROGRAMS[name]()


if __name__ == "__main__":
    main()
