"""Datasets, each loaded as one tensor."""
