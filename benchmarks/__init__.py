"""How fast this repository is, as ratios against the usual loop and against the machine: `python -m benchmarks`."""
