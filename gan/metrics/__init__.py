"""Metrics of generated images: what is computed, on which features, by which protocol."""
