"""The machine: devices, processes, files, random numbers, signals."""
