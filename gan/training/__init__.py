"""Build a run, train it, save it."""
