"""A sweep as a whole: its jobs, what is left of them, how far it is, and how it ended."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnnexp.command.resolvers import job_folder
from cnnexp.command.targets import refuse_strange_overrides, trusted_by
from cnnexp.errors import CnnexpError, first_line
from cnnexp.runs import RESULT

OBJECTIVE = "val_accuracy"
"""What a job's result says of how good its settings are."""


@dataclass
class Sweep:
    """The sweep that this process started.

    Args:
        folder: where its jobs' folders are.
        jobs: how many jobs it has, None where a sweeper finds that out as it goes.
        resumed: whether it goes on with an earlier one.
        workers: how many processes share its jobs.
        started: when, by the clock that all processes share.
        cancel: what cancels the jobs, where they run elsewhere and go on without this process: ``scancel 12``.
        unfinished: those of such jobs that ended without an end, by their folder's name, and why.
    """

    folder: Path
    jobs: int | None = None
    resumed: bool = False
    workers: int = 1
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    best: tuple[float, str] | None = None
    cancel: str | None = None
    unfinished: dict[str, str] = field(default_factory=dict)

    def announce(self, name: str, number: int) -> str:
        """Return a line for the job that begins: which one, the time left, the best so far.

        Args:
            name: the job's.
            number: the job's, counted from one in the order in which they begin.
        """
        parts = [f"job {number}" + (f" of {self.jobs}" if self.jobs else "")]
        if self.jobs and number > self.workers:
            done = number - (self.workers + 1) / 2  # those under way are half done, on average
            left = (time.monotonic() - self.started) / done * (self.jobs - done)
            parts.append(f"{duration(left)} left")
        # one of several processes knows its own jobs only
        best = self._best() if self.workers == 1 else []
        return f"{', '.join([*parts, *best])}: {name}"

    def tell(self, name: str, status: str) -> str:
        """Return a line for a job that has ended elsewhere."""
        count = f"{self.done}" + (f" of {self.jobs}" if self.jobs else "")
        return f"{', '.join([f'{count} ended', *self._best()])}: {name} {status}"

    def _best(self) -> list[str]:
        return [f"best val accuracy so far {self.best[0]:.2%} ({self.best[1]})"] if self.best else []

    def stopped_waiting(self, signal: str) -> str:
        """Return what there is to know as this process ends and the jobs go on."""
        return (
            f"{signal}: no longer waiting, but the jobs go on; to cancel them: {self.cancel}\n"
            f"report, now or later: python -m cnnexp task=report run={os.path.relpath(self.folder)}"
        )

    def finished(self, name: str, result: dict[str, Any]) -> None:
        """Count a job that has ended, well or not."""
        self.done += 1
        accuracy = result.get(OBJECTIVE)
        if accuracy is not None and (self.best is None or accuracy > self.best[0]):
            self.best = accuracy, name


current: Sweep | None = None


def duration(seconds: float) -> str:
    """Return a time for people: 40 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def jobs_of(config: DictConfig, loader: Any) -> list[list[str]] | None:
    """Return the overrides of each job of a sweep over a grid; None for sweepers that choose as they go."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if config.hydra.sweeper._target_.rpartition(".")[2] not in ("CnnexpSweeper", "BasicSweeper"):
        return None
    swept = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*swept, *config.hydra.overrides.task])
    [jobs] = BasicSweeper.split_arguments(parsed, None)
    return jobs


def left_to_do(jobs: Sequence[Sequence[str]], config: DictConfig, loader: Any) -> Sequence[Sequence[str]]:
    """Return the jobs that aren't complete, of a sweep that is resumed; all of another one.

    Raises CnnexpError where a job's settings are no longer those that it was started with.
    """
    if current is None or not current.resumed:
        return jobs
    left: list[Sequence[str]] = []
    for job in jobs:
        composed = loader.load_sweep_config(config, list(job))
        folder = current.folder / job_folder(composed.hydra.job.override_dirname)
        again = again_in(folder, composed)
        if again is not None:
            left.append([*job, *again])
    current.jobs = len(left)
    return left


def again_in(folder: Path, composed: DictConfig) -> list[str] | None:
    """Return what a job is started with, beside its own overrides, to go on in its folder; None if it is complete.

    Raises CnnexpError where the job's settings are no longer those that it was started with.
    """
    from cnnexp.command.recorded import changed_since
    from cnnexp.job.start import quoted

    changed = changed_since(folder, composed) if has_record(folder) else []
    if changed:
        raise CnnexpError(
            f"{folder.name} was started with another {', '.join(changed)}; start a new sweep for that"
        )
    more = go_on(folder)
    # said outright, since a folder that is there is another job's for one that asks for its own
    return [f"hydra.sweep.subdir={quoted(folder.name)}", *more] if more is not None and folder.is_dir() else more


def has_record(folder: Path) -> bool:
    """Whether a job was started in a folder; one that was killed before it said so has nothing to go on from."""
    # Hydra's record alone may be half of it
    return (folder / RESULT).is_file() and (folder / ".hydra" / "config.yaml").is_file()


def go_on(folder: Path) -> list[str] | None:
    """Return the overrides that make a job go on in its folder: none before its first start, None if complete."""
    from cnnexp import runs
    from cnnexp.job.start import quoted

    if not has_record(folder):
        return []
    if (runs.read_result(folder) or {}).get("status") == "completed":
        return None
    return [f"resume={quoted(str(folder))}", "hydra.output_subdir=null"]


def arguments_of(folder: Path, typed: Sequence[str]) -> list[str]:
    """Return the command that started a sweep, with what is typed now beside it.

    Raises CnnexpError where the sweep's record can't be read, or has in it what a stranger's could do harm by.
    """
    try:
        record: Any = OmegaConf.to_container(OmegaConf.load(folder / "multirun.yaml"), resolve=False)
        recorded = record["hydra"]["overrides"]
        both = [*recorded["hydra"], *recorded["task"]]
    except (OSError, YAMLError, OmegaConfBaseException, ValueError, KeyError, TypeError) as error:
        raise CnnexpError(f"resume={folder}: its record can't be read: {first_line(error)}") from None
    ours = ("hydra.sweep.dir=", "hydra.job.config.override_dirname.exclude_keys=", "hydra.mode=")
    both = [override for override in both if not (isinstance(override, str) and override.startswith(ours))]
    for part in ("launcher", "sweeper"):
        if any(argument.startswith(f"hydra/{part}=") for argument in typed):  # another one has other keys
            both = [
                override for override in both if not str(override).startswith((f"hydra/{part}", f"hydra.{part}."))
            ]
    refuse_strange_overrides(both, f"resume={folder}", trusted_by(typed))
    rest = [argument for argument in typed if not argument.startswith("resume=") and argument != "-m"]
    # behind the recorded ones: the last of two overrides of one key counts
    return ["-m", *both, *rest]


def end(sweep: Sweep) -> int:
    """Write the sweep's report, list what failed, and return the number of failures."""
    from cnnexp.reports.records import sweep_runs
    from cnnexp.reports.write import write_report

    failed: list[str] = []
    if folders := sweep_runs(sweep.folder):
        report = write_report(folders, sweep.folder, f"{sweep.folder.parent.name} {sweep.folder.name}")
        print(report)
        records = [run.record for run in report.study.runs if run.record.status == "failed"]
        failed = [f"{record.folder.name}: {str(record.error).splitlines()[0]}" for record in records]
    if failed:
        print(f"{len(failed)} failed in {sweep.folder}:", *failed, sep="\n  ", file=sys.stderr)
    left = [f"{name}: {why}" for name, why in sweep.unfinished.items()]
    if left:
        where = os.path.relpath(sweep.folder)
        print(
            f"{len(left)} didn't finish; python -m cnnexp resume={where} goes on:",
            *left,
            sep="\n  ",
            file=sys.stderr,
        )
    return len(failed) + len(left)
