"""CMA-ES that reads no pickles."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import CmaEsSampler
from optuna.trial import TrialState


class CmaEs(CmaEsSampler):
    """Optuna's CMA-ES, whose state is worked out anew at each choice, in some milliseconds for each earlier trial.

    Optuna's own keeps its state in the study as a pickle, which in a stranger's study could run any code.

    Args:
        seed: of what is drawn.
        options: the other arguments of ``optuna.samplers.CmaEsSampler``.
    """

    def __init__(self, seed: int | None = None, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._seed, self._options = seed, options

    def sample_relative(self, study: Any, trial: Any, search_space: Mapping[str, Any]) -> dict[str, Any]:
        """Return a trial's parameters, having gone through all earlier ones in a study in memory."""
        seed = None if self._seed is None else self._seed + trial.number
        sampler = CmaEsSampler(seed=seed, **self._options)
        memory = optuna.create_study(direction=study.direction, sampler=sampler)
        for one in study.get_trials(states=(TrialState.COMPLETE,)):
            memory.enqueue_trial(one.params)
            again = memory.ask(one.distributions)
            _ = again.relative_params  # the sampler counts a trial of which it was asked for these
            memory.tell(again, one.value)
        return memory.ask(dict(search_space)).params
