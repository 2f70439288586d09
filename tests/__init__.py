"""Makes this folder the package `tests`, whatever other packages bring along under that name."""
