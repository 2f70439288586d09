"""The command line: overrides before Hydra reads them, error messages, and runs as Hydra jobs."""
