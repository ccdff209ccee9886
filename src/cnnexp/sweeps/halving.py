"""Successive halving by exact stop and resume: which jobs of a grid train on, and how far."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from cnnexp.command.arguments import quoted
from cnnexp.errors import CnnexpError
from cnnexp.job.ranks import say_first
from cnnexp.reports.records import RunRecord, read_run
from cnnexp.reports.verdicts import best_row
from cnnexp.sweeps import sweep
from cnnexp.sweeps.asked import SEEDS, settings_of_job, settles
from cnnexp.sweeps.resume import again_in, folder_name, go_on
from cnnexp.sweeps.sweep import OBJECTIVE

_LENGTHS = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time", "trainer")


class Halving:
    """A sweep over a grid whose jobs stop after some epochs, and of which the best go on where they stopped.

    Each rung waits for all of its jobs (successive halving, not ASHA), so that which go on is a function of what
    was measured and not of which job was faster: a resumed sweep decides as it did. Configurations are judged by
    the mean over their seeds of the validation accuracy at the best epoch until then, equal ones by its loss.

    Args:
        config: the sweep's settings.
        jobs: the overrides of each of the grid's jobs.
        loader: composes a job's settings.
    """

    def __init__(self, config: DictConfig, jobs: Sequence[Sequence[str]], loader: Any) -> None:
        self.config, self.loader = config, loader
        self.rungs = rungs_of(config, jobs)
        self.reduction: int = config.hydra.sweeper.reduction
        self.configurations = _by_configuration(jobs)
        self._begun: set[tuple[str, int]] = set()

    def next_jobs(self) -> list[list[str]]:
        """Return the overrides of the jobs that have to train further now; none where nothing is left to do."""
        going = self.configurations
        for number, rung in enumerate(self.rungs):
            if number:
                going = self._best(going, self.rungs[number - 1])
            if not going:
                return []
            jobs = [job for configuration in going for job in configuration]
            left = [more for job in jobs if (more := self._to(rung, job)) is not None]
            if left:
                self._tell(number, len(going))
                return left
        return []

    def _tell(self, number: int, going: int) -> None:
        what = "all" if number == 0 else f"the best {going} of"
        end = "to the end, epoch" if number == len(self.rungs) - 1 else "to epoch"
        say_first(f"halving: {what} {len(self.configurations)} configurations {end} {self.rungs[number]}")

    def _to(self, rung: int, job: Sequence[str]) -> list[str] | None:
        """Return the overrides that train a job to a rung; None where it is there, or was tried here in vain."""
        assert sweep.current is not None
        name = folder_name(self.config, job)
        folder = sweep.current.folder / name
        record = read_run(folder)
        # a failed one is begun again by a new start of the sweep, as in any sweep
        if _is_there(record, rung) or (name, rung) in self._begun:
            return None
        more: Sequence[str] | None
        if sweep.current.resumed:
            more = again_in(folder, self.loader.load_sweep_config(self.config, list(job)))
        else:
            more = go_on(folder)
        if more is None:
            return None
        self._begun.add((name, rung))
        stop = [] if rung == self.rungs[-1] else [f"stop_after_epoch={rung}"]
        return [*job, f"hydra.sweep.subdir={quoted(name)}", *more, *stop]

    def _best(self, going: Sequence[list[list[str]]], rung: int) -> list[list[list[str]]]:
        """Return the best of some configurations, as they were at a rung; without those that didn't get there."""
        assert sweep.current is not None
        places = {}
        for index, configuration in enumerate(going):
            records = [read_run(sweep.current.folder / folder_name(self.config, job)) for job in configuration]
            if all(_is_there(record, rung) for record in records):
                rows = [row for record in records if (row := _best_until(record, rung)) is not None]
                if len(rows) == len(records):
                    accuracy = statistics.fmean(row[OBJECTIVE] for row in rows)
                    places[index] = -accuracy, statistics.fmean(row.get("val_loss", math.inf) for row in rows)
        kept = sorted(places, key=lambda index: places[index])[: max(1, len(going) // self.reduction)]
        return [going[index] for index in sorted(kept)]


def _is_there(record: RunRecord, rung: int) -> bool:
    """Return whether a run has got to a rung, or to an earlier end of its own."""
    if record.status in ("failed", "unreadable"):
        return False
    return record.status == "completed" or any(row["epoch"] >= rung for row in record.history)


def _best_until(record: RunRecord, rung: int) -> Mapping[str, float] | None:
    rows = [row for row in record.history if row["epoch"] <= rung and math.isfinite(row.get(OBJECTIVE, math.nan))]
    return best_row(rows) if rows else None


def _by_configuration(jobs: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """Return the jobs of each configuration; those that differ in their seeds are one's."""
    found: dict[tuple[str, ...], dict[tuple[str, ...], None]] = {}
    for job in jobs:
        own = tuple(override for override in job if override.partition("=")[0].lstrip("+~") not in SEEDS)
        found.setdefault(own, {})[tuple(job)] = None
    return [[list(job) for job in seeds] for seeds in found.values()]


def rungs_of(config: DictConfig, jobs: Sequence[Sequence[str]]) -> list[int]:
    """Return after which epochs jobs stop, the last their end; raises CnnexpError where that can't be."""
    options, most = config.hydra.sweeper, config.trainer.max_epochs
    if config.hydra.runtime.choices.task != "fit":
        raise CnnexpError("hydra/sweeper=halving is of sweeps that train; leave it out, or type task=fit")
    if settles(config):
        raise CnnexpError("settle=true adds seeds, and hydra/sweeper=halving takes configurations out; type one")
    typed = settings_of_job(jobs[0])
    if "stop_after_epoch" in typed:
        raise CnnexpError("hydra/sweeper=halving chooses where jobs stop; leave stop_after_epoch out")
    for key in _LENGTHS:
        if len({settings_of_job(job).get(key) for job in jobs}) > 1:
            raise CnnexpError(f"hydra/sweeper=halving compares equally long training; give {key} one value")
    if not isinstance(most, int) or most < 1:
        raise CnnexpError("hydra/sweeper=halving counts in epochs; give trainer.max_epochs")
    count = len(_by_configuration(jobs))
    if count < options.reduction:
        raise CnnexpError(
            f"hydra/sweeper=halving takes one configuration in {options.reduction} on, and there "
            f"{'is' if count == 1 else 'are'} {count}; sweep more, or type a lower hydra.sweeper.reduction"
        )
    first = options.min_epochs or math.ceil(most / options.reduction**2)
    if first >= most:
        raise CnnexpError(
            f"hydra.sweeper.min_epochs={first} of trainer.max_epochs={most} leaves nothing to save; type less"
        )
    rungs, left = [], count
    while first < most and left > 1:
        rungs.append(first)
        first, left = first * options.reduction, max(1, left // options.reduction)
    return [*rungs, most]
