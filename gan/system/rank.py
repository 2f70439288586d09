"""The rank of this process and the number of processes, from torchrun's environment variables. Imports no torch."""

import os

WORLD_SIZE = int(os.environ.get("WORLD_SIZE", "1"))  # processes that train one run together
RANK = int(os.environ.get("RANK", "0"))  # of this process; rank 0 writes the files
LOCAL_RANK = int(os.environ.get("LOCAL_RANK", "0"))  # on this machine
LOCAL_WORLD_SIZE = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))  # processes on this machine; 0: not known
