"""The sweeper of a search, in place of Hydra's of the same name."""

from hydra_plugins.hydra_optuna_sweeper import optuna_sweeper


class OptunaSweeper(optuna_sweeper.OptunaSweeper):
    """Hydra's, which of a search without a score would raise an error: here its end has the table of the trials."""

    def sweep(self, arguments: list[str]) -> None:
        try:
            super().sweep(arguments)
        except ValueError as error:
            if "No trials are completed" not in str(error):
                raise
