"""The sweeper of ``hydra/sweeper=halving``, here because Hydra takes plugins from this namespace alone."""

from collections.abc import Sequence
from typing import Annotated, Any

from annotated_types import Ge
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class CnnexpHalvingSweeper(BasicSweeper):
    """A grid by successive halving (Jamieson and Talwalkar 2016): all train a little, and the best go on.

    Args:
        reduction: at each stop one configuration in so many goes on.
        min_epochs: epochs before the first stop; None for the whole length over the square of ``reduction``.
        params: what is swept without being typed.
    """

    def __init__(
        self,
        reduction: Annotated[int, Ge(2)] = 3,
        min_epochs: Annotated[int, Ge(1)] | None = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(max_batch_size=None, params=params)  # the rest `Halving` reads from the settings

    def is_done(self) -> bool:
        """Return whether the last ones have come to their end, or can't."""
        from cnnexp.sweeps import sweep

        assert sweep.current is not None
        self._jobs = sweep.current.halving.next_jobs()
        return not self._jobs

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Do nothing: the jobs were checked."""

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """Return the overrides of the jobs that train to the next stop."""
        from cnnexp.interrupts import let_through

        let_through()  # Hydra has written multirun.yaml, by which the sweep can be gone on with
        return self._jobs
