"""Speed of a training step, against the loop most tutorials write and against the hardware: `python -m benchmarks`."""
