"""An Optuna study: where it is stored, which folder it has, and how far it is.

Optuna is imported where it is used: it is an extra.
"""

import hashlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cnnexp import runs
from cnnexp.errors import CnnexpError, first_line
from cnnexp.reports.search import quiet_optuna
from cnnexp.sweeps.sweep import OBJECTIVE

FOLDER, PROCESS, HOST = "cnnexp.folder", "cnnexp.process", "cnnexp.host"
"""Attributes of a study's trials: the folder, the lock of the process at work, its machine."""
OWN_FILE = "study.db"


def url_of_own(folder: Path) -> str:
    """Return the database of a study that has no other: a file in its sweep's folder."""
    return f"sqlite:///{folder / OWN_FILE}"


def lock_of(url: str) -> FileLock:
    """Return the lock that the processes of this machine take turns by, at the same database."""
    if url.startswith("sqlite:///"):
        url = os.path.abspath(url.removeprefix("sqlite:///"))
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return FileLock(
        Path(tempfile.gettempdir()) / f"cnnexp-{os.getuid() if hasattr(os, 'getuid') else ''}-{digest}.lock"
    )


def open_study(url: str, name: str, direction: str) -> Any:
    """Return the study of a name, a new one where there is none.

    Raises CnnexpError where no database answers, or the study looks for something else.
    """
    optuna = quiet_optuna()
    try:
        with lock_of(url):  # creating a database's tables twice at the same time fails
            try:
                study = optuna.load_study(study_name=name, storage=url)
            except KeyError:
                study = optuna.create_study(study_name=name, storage=url, direction=direction, load_if_exists=True)
            known = study.direction.name.lower()
    except ImportError as error:
        raise CnnexpError(
            f"hydra.sweeper.storage={hidden(url)} needs a driver that isn't there: {hidden(first_line(error))}\n"
            "For PostgreSQL type: pip install psycopg2-binary"
        ) from None
    except Exception as error:  # each database driver has its own exceptions
        raise CnnexpError(
            f"hydra.sweeper.storage={hidden(url)}: no database answers: {hidden(first_line(error))}\n"
            "Give one that does, such as sqlite:///study.db in a folder that is there"
        ) from None
    if known != direction:
        raise CnnexpError(f"the study {name} is to {known} (hydra.sweeper.direction); give another study_name")
    return study


def hidden(text: str) -> str:
    """Return a text without the password of a database's address."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


class Process:
    """A process at work on a study; others see by its lock whether it still is.

    Args:
        folder: the sweep's, where the lock's file goes.
    """

    def __init__(self, folder: Path) -> None:
        self.host = socket.gethostname()
        self.folder = folder
        path = folder / ".search" / f"{self.host}-{os.getpid()}-{time.time_ns()}.lock"
        path.parent.mkdir(exist_ok=True)
        self._locks = {str(path): FileLock(path, blocking=False)}
        self._locks[str(path)].acquire()
        self.name = str(path)

    def is_alive(self, trial: Any) -> bool:
        """Return whether a running trial's process is alive; one on another machine is taken to be."""
        if trial.user_attrs.get(HOST) != self.host:
            return HOST in trial.user_attrs
        name = trial.user_attrs[PROCESS]
        if name in self._locks:
            return True
        if not Path(name).exists():
            return False
        lock = FileLock(name, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False

    def take_over(self, trials: Iterable[Any]) -> list[Any]:
        """Return the trials whose process is gone, having taken their locks: they are this process's now.

        Call it while you hold the database's lock.
        """
        left = [
            trial
            for trial in trials
            if not self.is_alive(trial) and (self.folder / str(trial.user_attrs.get(FOLDER))).is_dir()
        ]
        for name in {trial.user_attrs[PROCESS] for trial in left}:
            self._locks[name] = FileLock(name, blocking=False)
            self._locks[name].acquire()
        return left

    def leave(self) -> None:
        """Let go of all locks."""
        for name, lock in self._locks.items():
            lock.release()
            Path(name).unlink(missing_ok=True)
        self._locks.clear()


def settle(study: Any, trial: Any, folder: Path) -> bool:
    """Tell a study how a trial ended, by its folder; return whether it has ended."""
    from optuna.trial import TrialState

    result = runs.read_result(folder) or {}
    value = result.get(OBJECTIVE)
    if result.get("status") == "completed" and value is not None:
        study.tell(trial.number, value)
    elif result.get("status") in ("failed", "completed"):
        study.tell(trial.number, state=TrialState.FAIL)
    else:
        return False
    return True
