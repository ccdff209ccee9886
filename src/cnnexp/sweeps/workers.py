"""A sweep's jobs in several processes of one machine: each knows of the sweep, and at a signal all end alike.

A worker is told to stop as a single run is: its job saves and says that it was interrupted. The process that
started the workers waits for that, and only then ends itself and them.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from cnnexp.interrupts import USUAL, Interrupted, answer_signals
from cnnexp.locks import Lock, Taken
from cnnexp.runs import STOPPED, read_result
from cnnexp.sweeps import sweep

PATIENCE = 2
"""Signals after which workers are waited for: the first lets them save, the second ends them; a third kills."""


@dataclass(frozen=True)
class Start:
    """What a worker is told as it starts.

    Args:
        folder: the sweep's.
        jobs: how many it has.
        workers: how many processes there are.
        started: when the sweep began.
        busy: a folder where a worker has a file, named by its process, while it is at a job.
        parent: the process that started it.
        gpus: what ``CUDA_VISIBLE_DEVICES`` calls the GPUs that the workers share.
    """

    folder: Path
    jobs: int | None
    workers: int
    started: float
    busy: Path
    parent: int
    gpus: tuple[str, ...] = ()


_worker: Start | None = None
"""What this process was told, where it is a worker. Not an argument: loky calls `start` once as it begins, and the
jobs that come later through joblib carry nothing of ours."""

_place: Lock | None = None
"""What this process holds for as long as it lives: its turn among the workers, which decides on its GPU."""


def start(told: Start) -> None:
    """Make this process a worker: loky calls it once, before the first job."""
    global _worker
    _worker = told
    sweep.current = sweep.Sweep(told.folder, told.jobs, workers=told.workers, started=told.started)
    _take_gpu(told)
    # a process group of its own: Ctrl-C then comes from the parent only, and once
    os.setpgrp()
    for number in USUAL:
        signal.signal(number, _stop)


def _take_gpu(told: Start) -> None:
    """See no other GPU than the one of the first place that no worker has; CUDA must not be in use yet."""
    global _place
    for number in range(told.workers if told.gpus else 0):
        _place = Lock(told.busy / f"place-{number}")
        with contextlib.suppress(Taken):
            _place.acquire(wait=False)
            os.environ["CUDA_VISIBLE_DEVICES"] = told.gpus[number % len(told.gpus)]
            return


def _stop(number: int, frame: FrameType | None) -> None:
    if not _mark().exists():
        _wait_for_the_end()
    raise Interrupted(number)


def _mark() -> Path:
    assert _worker is not None
    return _worker.busy / str(os.getpid())


def _wait_for_the_end() -> NoReturn:
    """Take no other job, but stay: loky kills the rest if one worker exits."""
    assert _worker is not None
    for number in USUAL:
        signal.signal(number, signal.SIG_IGN)
    _mark().unlink(missing_ok=True)
    while os.getppid() == _worker.parent:
        time.sleep(0.1)
    os._exit(1)


class InWorker:
    """The function that does a job, wrapped for a worker process."""

    def __init__(self, function: Callable[[DictConfig], Any]) -> None:
        self.function = function

    def __call__(self, config: DictConfig) -> Any:
        """Do a job; after a signal do no other."""
        if _worker is None:
            return self.function(config)
        try:
            _mark().touch()
            hydra = HydraConfig.get()
            (_worker.busy / f"job-{hydra.job.num}").write_text(hydra.runtime.output_dir)
            return self.function(config)
        except Interrupted:
            _wait_for_the_end()
        finally:
            _mark().unlink(missing_ok=True)


def what_became_of(busy: Path, first: int, count: int) -> dict[int, JobReturn]:
    """Return what the begun ones of ``count`` jobs returned, by their position, after a worker was killed.

    One that didn't end is counted as unfinished.

    Args:
        busy: the workers' folder.
        first: the first job's number.
        count: how many jobs there were.
    """
    found = {}
    for number in range(count):
        note = busy / f"job-{first + number}"
        if not note.is_file():
            continue
        folder = Path(note.read_text())
        result = read_result(folder) or {}
        status = result.get("status", "interrupted")
        value = result.get(sweep.OBJECTIVE) if status == "completed" else None
        found[number] = JobReturn(status=JobStatus.COMPLETED, _return_value=value)
        if sweep.current is not None:
            sweep.current.finished(folder.name, result)
            if status not in ("completed", "failed") and STOPPED not in result:
                sweep.current.unfinished[folder.name] = (
                    "a worker was killed; with too little memory type a lower hydra.launcher.n_jobs"
                )
    return found


@contextmanager
def ended_together(busy: Path) -> Iterator[None]:
    """Pass SIGINT, SIGTERM and SIGHUP on to the workers, wait until none is ``busy``, and raise Interrupted."""
    received = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        for worker in multiprocessing.active_children():
            if worker.pid is not None:
                os.kill(worker.pid, number)
        while received <= PATIENCE and any(
            (busy / str(worker.pid)).exists() for worker in multiprocessing.active_children()
        ):
            time.sleep(0.05)
        raise Interrupted(number)

    give_signals_back = answer_signals(pass_on)
    try:
        yield
    finally:
        give_signals_back()
