"""Classic GANs, to train, evaluate and compare."""

__version__ = "0.2.0"
