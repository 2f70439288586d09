"""Makes this folder the package `tests`, whatever other packages bring along under that name."""

import os

for name in ("GAN_DEBUG", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "http_proxy", "https_proxy"):
    os.environ.pop(name, None)  # what is set outside must not reach a test, and some are read when gan is imported
