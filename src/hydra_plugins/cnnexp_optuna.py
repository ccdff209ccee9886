"""The sweeper of ``hydra/sweeper=optuna``, here because Hydra takes plugins from this namespace alone."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class CnnexpOptunaSweeper(Sweeper):
    """A search by Optuna, whose study may have several processes and is gone on with where it was left.

    Args:
        sampler: the constructor call of one of Optuna's samplers.
        direction: whether the best trial has the highest validation accuracy.
        n_trials: how many trials the whole study has.
        n_jobs: trials that are chosen together; None for as many as the launcher runs at once.
        storage: the database's address; None for a journal in the sweep's folder.
        study_name: the study's name there.
        params: what is searched without being typed.
    """

    NEEDS = "optuna", "optuna"

    def __init__(
        self,
        sampler: DictConfig | None = None,
        direction: Literal["maximize", "minimize"] = "maximize",
        n_trials: Annotated[int, Ge(1)] = 20,
        n_jobs: Annotated[int, Ge(1)] | None = None,
        storage: str | None = None,
        study_name: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        pass  # `Search` reads them from the composed settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives every sweeper."""
        from cnnexp.sweeps.search import Search

        self._search = Search(config, hydra_context, task_function)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the trials that are missing."""
        self._search.run()
