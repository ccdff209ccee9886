"""A sweep as a whole: how far it is, and how it ended."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnexp.errors import CnnexpError
from cnnexp.interrupts import last_words
from cnnexp.locks import Lock, Taken

OBJECTIVE = "val_accuracy"
"""The number in result.json that sweeps and searches compare."""


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
        baseline: settings that name the configuration which the report compares the others with.
        reveal: whether the report shows all test numbers.
        settling: what chooses further seeds (`cnnexp.sweeps.settle`), where something is to be settled.
        halving: what chooses the jobs that train on (`cnnexp.sweeps.halving`), where a sweep stops the others.
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
    baseline: Sequence[str] = ()
    reveal: bool = False
    settling: Any = None
    halving: Any = None
    unfinished: dict[str, str] = field(default_factory=dict)
    _lock: Lock | None = None

    def hold(self) -> None:
        """Hold the sweep's folder, until ``leave``; raises CnnexpError while another process is at its jobs."""
        lock = Lock(self.folder / ".lock")
        try:
            lock.acquire(wait=False)
        except Taken as taken:
            who = str(taken) or "another process; wait for it to end"
            raise CnnexpError(f"{self.folder} is in use by {who}") from None
        self._lock = lock

    def leave(self) -> None:
        """Let go of the sweep's folder."""
        if self._lock is not None:
            self._lock.release()

    def announce(self, name: str, number: int) -> str:
        """Return a line for the job that begins: which one, the time left, the best so far.

        Args:
            name: the job's.
            number: the job's, counted from one in the order in which they begin.
        """
        parts = [f"job {number}" + (f" of {self.jobs}" if self.jobs else "")]
        if self.jobs and number > self.workers:
            done = number - (self.workers + 1) / 2  # the running ones are half done, on average
            left = (time.monotonic() - self.started) / done * (self.jobs - done)
            parts.append(f"{duration(left)} left")
        # a worker knows only its own jobs
        best = self._best() if self.workers == 1 else []
        return f"{', '.join([*parts, *best])}: {name}"

    def tell(self, name: str, status: str) -> str:
        """Return a line for a job that has ended elsewhere."""
        count = f"{self.done}" + (f" of {self.jobs}" if self.jobs else "")
        return f"{', '.join([f'{count} ended', *self._best()])}: {name} {status}"

    def _best(self) -> list[str]:
        return [f"best val accuracy so far {self.best[0]:.2%} ({self.best[1]})"] if self.best else []

    def stopped_waiting(self, signal: str) -> str:
        """Return what to print when this process ends and the jobs go on."""
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
"""This process's sweep. Not an argument: between the command, which reports at its end, and the jobs stand Hydra's
callback, sweeper and launcher, which Hydra makes itself and hands nothing of ours."""


def begin(sweep: Sweep) -> None:
    """Make a sweep this process's, so that an interruption tells how to go on with it."""
    global current
    current = sweep
    where = os.path.relpath(sweep.folder)
    last_words[:] = [
        f"go on with: python -m cnnexp resume={where}",
        f"report of what there is: python -m cnnexp task=report run={where}",
    ]


def duration(seconds: float) -> str:
    """Return a time for people: 40 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def end(sweep: Sweep) -> int:
    """Write the sweep's report, list what failed, and return the number of failures."""
    from cnnexp.reports.records import sweep_runs
    from cnnexp.reports.write import write_report

    failed: list[str] = []
    if folders := sweep_runs(sweep.folder):
        title = f"{sweep.folder.parent.name} {sweep.folder.name}"
        try:
            report = write_report(folders, sweep.folder, title, sweep.baseline, sweep.reveal)
        except CnnexpError as error:  # the sweep was stopped before its baseline began
            print(error, file=sys.stderr)
            report = write_report(folders, sweep.folder, title, (), sweep.reveal)
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
