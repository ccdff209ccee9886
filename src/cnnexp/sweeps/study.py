"""An Optuna study: where it is stored, which folder it has, and how far it is.

Optuna is imported where it is used: it is an extra. What a study says may be a stranger's.
"""

import contextlib
import hashlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnexp import runs
from cnnexp.disk import private_folder
from cnnexp.errors import CnnexpError, first_line
from cnnexp.locks import Lock, Taken
from cnnexp.records import read_bytes
from cnnexp.reports.search import quiet_optuna
from cnnexp.sweeps.sweep import OBJECTIVE

FOLDER, PROCESS, HOST = "cnnexp.folder", "cnnexp.process", "cnnexp.host"
"""Attributes of a study's trials: the folder, the lock of the process at work, its machine."""
OWN_FILE = "study.journal"
_MOST = 256 << 20  # bytes of it: some hundred thousand trials


def lock_of(address: str) -> Lock:
    """Return the lock that the processes of this machine take turns by, at the same database or journal."""
    if "://" not in address or address.startswith("sqlite:///"):
        address = os.path.abspath(address.removeprefix("sqlite:///"))
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    if (folder := private_folder()) is None:
        raise CnnexpError(
            f"{tempfile.gettempdir()} has no folder that only you can write into; set TMPDIR to one of yours"
        )
    return Lock(folder / f"study-{digest}.lock", stays=False)


def journal(path: Path) -> Any:
    """Return the storage that is Optuna's journal, a file of a line of JSON for each change."""
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    lock: Any = Lock(path.with_name(f".{path.name}.lock"))  # released by itself where a process is killed
    with lock:
        content = read_bytes(path, _MOST) if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):  # a full disk left half a line, which would spoil the next
            os.truncate(path, whole)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def open_study(address: str, name: str, direction: str) -> Any:
    """Return the study of a name, a new one where there is none.

    Args:
        address: a database's, such as ``sqlite:///study.db``, or a journal's path.
        name: the study's there.
        direction: maximize or minimize.

    Raises:
        CnnexpError: where no database answers, or the study looks for something else.
    """
    optuna = quiet_optuna()
    try:
        with lock_of(address):  # creating a database's tables twice at the same time fails
            storage = journal(Path(address)) if address.endswith(f"/{OWN_FILE}") else address
            study = optuna.create_study(study_name=name, storage=storage, direction=direction, load_if_exists=True)
            known = study.direction.name.lower()
    except CnnexpError:
        raise
    except Exception as error:  # each database driver has its own exceptions
        why, hint = "no database answers", "Give one that does, such as sqlite:///study.db in a folder you have"
        if isinstance(error, ImportError):
            why, hint = "needs a driver that isn't there", "For PostgreSQL type: pip install psycopg2-binary"
        said = f"hydra.sweeper.storage={address}: {why}: {first_line(error)}\n{hint}"
        # without the password of an address
        raise CnnexpError(re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", said)) from None
    if known != direction:
        raise CnnexpError(f"the study {name} is to {known} (hydra.sweeper.direction); give another study_name")
    return study


class Process:
    """A process at work on a study; others see by its lock whether it still is.

    Args:
        folder: the sweep's, where the lock's file goes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder / ".search", socket.gethostname()
        self.name = f"{self.host}-{os.getpid()}-{time.time_ns()}"
        self.folder.mkdir(exist_ok=True)
        self._locks: dict[str, Lock] = {}
        self._take(self.name)

    def _take(self, name: str) -> bool:
        """Take a process's lock; return False where another process has it."""
        lock = Lock(self.folder / f"{name}.lock")
        try:
            lock.acquire(wait=False)
        except Taken:
            return False
        self._locks[name] = lock
        return True

    def take_over(self, trials: Sequence[Any]) -> list[Any]:
        """Return the trials of this machine whose process is gone: they are this process's from now on."""
        # of a name its letters alone: it can't lead to another folder
        owners = {
            trial.number: re.sub(r"[^\w.-]", "_", str(trial.user_attrs.get(PROCESS)))
            for trial in trials
            if trial.user_attrs.get(HOST) == self.host
        }
        gone = {name for name in set(owners.values()) - self._locks.keys() if self._take(name)}
        return [trial for trial in trials if owners.get(trial.number) in gone]

    def leave(self) -> None:
        """Let go of all locks."""
        for lock in self._locks.values():
            lock.release()
            lock.path.unlink(missing_ok=True)


def tell(study: Any, number: int, value: float | None) -> None:
    """Tell a study how a trial has ended: with a value, or failed (None)."""
    from optuna.trial import TrialState

    study.tell(number, value, state=TrialState.FAIL if value is None else None)


def settle(study: Any, trial: Any, sweep: Path, space: Mapping[str, Any]) -> bool:
    """Tell a study how a trial ended, by its folder; return whether it has ended.

    One that isn't a trial of this search, or has no folder in the sweep's, can't go on: it has failed.
    """
    from optuna.trial import create_trial

    folder = sweep / str(trial.user_attrs.get(FOLDER))
    result: dict[str, Any] = {"status": "failed"}
    with contextlib.suppress(ValueError):
        create_trial(state=trial.state, params=trial.params, distributions=dict(space))
        if folder.resolve().parent == sweep.resolve():
            result = runs.read_result(folder) or {}
    if result.get("status") not in ("failed", "completed"):
        return False
    tell(study, trial.number, result.get(OBJECTIVE) if result["status"] == "completed" else None)
    return True
