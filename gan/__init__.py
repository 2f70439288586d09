"""Classic GANs, to understand and to compare."""
