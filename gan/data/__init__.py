"""Data sets, each as one tensor."""
