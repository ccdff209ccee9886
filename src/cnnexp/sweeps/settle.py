"""``settle=true``: further seeds of what isn't told apart yet, until it is, or until there are enough."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnexp.errors import CnnexpError
from cnnexp.records import read_yaml
from cnnexp.reports.baseline import named
from cnnexp.reports.records import sweep_runs
from cnnexp.reports.told_apart import against
from cnnexp.runs import read_result
from cnnexp.sweeps.asked import configurations, settings_of_job
from cnnexp.sweeps.sweep import OBJECTIVE

Job = frozenset[tuple[str, str]]
"""What is swept, with a job's values, as they were typed."""


class Settling:
    """A sweep over a grid that goes on by a seed at a time.

    After each round every configuration that isn't told apart from the best one (or from the baseline) gets one
    more seed, as does that one. They are compared by `cnnexp.evaluation.differences.sequential_difference`, whose
    level holds whenever one stops. One whose job has failed gets no more.

    Args:
        folder: the sweep's.
        jobs: the overrides of each of the grid's jobs; they sweep ``seed``.
        baseline: the settings that name the configuration to compare with; none: the best.
        max_seeds: so many seeds a configuration has at most.
    """

    def __init__(
        self, folder: Path, jobs: Sequence[Sequence[str]], baseline: Sequence[str], max_seeds: int
    ) -> None:
        self.folder = folder
        self.baseline = named(baseline, configurations(jobs)) if baseline else None
        every = [settings_of_job(job) for job in jobs]
        self.swept = {key for key in every[0] if len({one[key] for one in every}) > 1}
        self.seeds = sorted({int(one["seed"]) for one in every})
        # of each configuration the overrides of its jobs, without the seed
        self.configurations = list(
            dict.fromkeys(tuple(o for o in job if not o.startswith("seed=")) for job in jobs)
        )
        further = range(self.seeds[-1] + 1, self.seeds[-1] + 1 + max_seeds - len(self.seeds))
        self.order = [*self.seeds, *further]
        self._tried: set[Job] = set()

    def next_jobs(self) -> list[list[str]]:
        """Return the overrides of the next jobs; none where all is settled."""
        results = self._results()
        completed = [
            {seed: one for seed in self.order if _is_over(one := results.get(self._job(index, seed), {}))}
            for index in range(len(self.configurations))
        ]
        if not all(completed):
            return []
        values = [{seed: result[OBJECTIVE] for seed, result in seeds.items()} for seeds in completed]
        best = min(range(len(values)), key=lambda index: _place(completed[index].values()))
        reference = best if self.baseline is None else self.baseline
        wanted: dict[tuple[int, int], None] = {}
        for index, found in against(reference, values, self.baseline is None, sequential=True).items():
            further = [seed for seed in self.order if seed not in values[index] or seed not in values[reference]]
            if further and not found.is_real and not any(self._failed(results, one) for one in (index, reference)):
                wanted |= {(one, further[0]): None for one in (reference, index) if further[0] not in values[one]}
        self._tried |= {self._job(*which) for which in wanted}
        return [[*self.configurations[index], f"seed={seed}"] for index, seed in wanted]

    def _job(self, index: int, seed: int) -> Job:
        """Return what a job is known by in its record, where what isn't swept may have been typed otherwise."""
        return self._known_by([*self.configurations[index], f"seed={seed}"])

    def _known_by(self, overrides: Sequence[str]) -> Job:
        return frozenset((key, value) for key, value in settings_of_job(overrides).items() if key in self.swept)

    def _failed(self, results: Mapping[Job, Mapping[str, Any]], index: int) -> bool:
        """Return whether a job of a configuration has failed, or was tried here and didn't come to its end."""
        jobs = [self._job(index, seed) for seed in self.order]
        return any(
            results.get(job, {}).get("status") == "failed"
            or (job in self._tried and not _is_over(results.get(job, {})))
            for job in jobs
        )

    def _results(self) -> dict[Job, Mapping[str, Any]]:
        """Return the content of each run's result.json."""
        results: dict[Job, Mapping[str, Any]] = {}
        for run in sweep_runs(self.folder):
            try:
                overrides = read_yaml(run / ".hydra" / "overrides.yaml") or []
                results[self._known_by([str(override) for override in overrides])] = read_result(run) or {}
            except (OSError, CnnexpError):  # damaged: it counts as not run, and the report names it
                continue
        return results


def _is_over(result: Mapping[str, Any]) -> bool:
    return result.get("status") == "completed" and result.get(OBJECTIVE) is not None


def _place(results: Collection[Mapping[str, Any]]) -> tuple[float, float]:
    """Return what configurations are sorted by, the best first, as the report does it."""
    losses = [result.get("val_loss") for result in results]
    known = [loss for loss in losses if loss is not None]
    accuracy = statistics.fmean(result[OBJECTIVE] for result in results)
    return -accuracy, statistics.fmean(known) if known else math.inf
