"""Around Hydra: what is typed, what goes wrong, and the jobs of a sweep."""
