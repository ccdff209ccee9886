"""The rules about a run's folder: claiming it, its lock, its files, and which settings make another experiment."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnexp.disk import new_file
from cnnexp.errors import CnnexpError
from cnnexp.locks import Lock, Taken
from cnnexp.records import read_text

RESULT = "result.json"
STOPPED = "stopped_after_epoch"
"""Where it says after which epoch training was stopped, to be gone on with."""
ELSEWHERE = (
    "name", "run", "resume", "checkpoint", "fail_fast", "stop_after_epoch", "question", "baseline", "reveal",
    "settle", "task", "logger",
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy",
    "trainer.enable_progress_bar", "trainer.profiler", "data.root",
    "data.num_workers", "data.device", "data.eval_batch_size", "data.mirrors", "callbacks.save_every",
)  # fmt: skip
"""Settings that say where, how comfortably and for whom something runs: with others it is the same experiment."""
LENGTH = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")
"""Settings that say how long training is."""
BUDGET = (*LENGTH, *(f"trainer.limit_{part}_batches" for part in ("train", "val", "test")))
"""Settings that say how much is trained and measured on: runs that differ in them are never repetitions."""
FREE_TO_CHANGE = (*ELSEWHERE, *LENGTH)
"""Settings that a resume may change: a longer run is the same one, gone on with."""
DIFF = "git.diff"
_LONGEST_DIFF = 1 << 20
_START_UP_FILES = {".hydra", "run.log", "result.json", DIFF}
_PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "torchmetrics", "numpy")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all; see `json_text`."""
    write_whole(path, json_text(content).encode())


def json_text(content: Mapping[str, Any]) -> str:
    """Return a mapping as JSON. Numbers that JSON doesn't know (NaN, infinity) become null."""
    return f"{json.dumps(_known(content), indent=2, ensure_ascii=False, allow_nan=False)}\n"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, even if the process is killed meanwhile."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with new_file(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _known(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_known(part) for part in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return a run's result.json, None where there is none.

    A run that says ``running`` while nobody holds its lock was killed: its status is ``interrupted``.
    """
    result = read_json(folder / RESULT)
    if result is not None and result.get("status") == "running" and not _locked(folder):
        result["status"] = "interrupted"
    return result


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file holds, None where there is none; raises CnnexpError for one that isn't whole."""
    try:
        content = json.loads(read_text(path))
        if not isinstance(content, dict):
            raise ValueError("it isn't a JSON object")
        return content
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise CnnexpError(f"{path} can't be read: {error}") from None


def claim(folder: Path) -> Path:
    """Make a new folder, called ``folder`` or else ``folder-2``, ``-3`` …: no two processes get the same.

    Raises OSError where the folder can't be made for another reason than that it is there.
    """
    number, lost = 1, 0
    while True:
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        # in the loop: another process may remove the parent when it gives back its folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            candidate.mkdir()
        except FileNotFoundError:
            lost += 1
            if lost > 100:  # in /proc, say, nothing can be made
                raise
        except FileExistsError:
            if not candidate.is_dir():
                raise
            number += 1
        else:
            return candidate


def give_back(folder: Path, made_for_it: Sequence[Path]) -> None:
    """Remove a run's folder if only start-up files are in it.

    A mistake that is found only once the data are there then leaves no more behind than one that is found before.

    Args:
        folder: the run's.
        made_for_it: the folders above it that were made with it, the nearest first; empty ones are removed too.
    """
    if not {path.name for path in folder.iterdir()} <= _START_UP_FILES:
        return
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # not empty: another run is in it
        for parent in made_for_it:
            parent.rmdir()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's lock; raises CnnexpError if another process does."""
    lock = Lock(folder / ".hydra" / "run.lock")
    try:
        lock.acquire(wait=False)
    except Taken as taken:
        who = str(taken) or "another process; wait for it to end"
        raise CnnexpError(f"{folder} is in use by {who}") from None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise CnnexpError(f"{lock.path} is a link; remove it") from None
    try:
        yield
    finally:
        lock.release()


def _locked(folder: Path) -> bool:
    if not (folder / ".hydra").is_dir():
        return False
    try:
        with held(folder):
            return False
    except CnnexpError:
        return True
    except OSError:  # a read-only folder: no process of this user writes there
        return False


def differences(settings: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys whose values differ, but for those that a resume may change."""
    free = tuple(f"{key}." for key in FREE_TO_CHANGE)
    mine, theirs = dict(leaves(settings)), dict(leaves(others))
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return [key for key in keys if not f"{key}.".startswith(free)]


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings as (dotted key, value); lists, and mappings with nothing in them, stay whole."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def config_hash(settings: Mapping[str, Any]) -> str:
    """Return a hash of all settings but those that a resume may change: equal for equal experiments."""
    content = json.loads(json.dumps(settings, default=str))
    for key in FREE_TO_CHANGE:
        *above, last = key.split(".")
        node = content
        for part in above:
            node = node.get(part) or {}
        node.pop(last, None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def origin() -> tuple[dict[str, Any], bytes]:
    """Return what code is at work, for result.json, and what was changed in it since git's commit.

    That is the packages' versions, and of the working folder's git repository the commit, whether files that git
    knows were changed since then (``dirty``), and the hash of what was.
    """
    versions = {"python": platform.python_version(), "cnnexp": version("cnnexp")}
    versions |= {package: version(package) for package in _PACKAGES}
    commit, diff = _git("rev-parse", "HEAD"), None
    if commit is not None:
        diff = _git("diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--binary")
    return {
        "versions": versions,
        "git_commit": None if commit is None else commit.decode().strip(),
        "dirty": None if diff is None else bool(diff),
        "git_diff_sha256": hashlib.sha256(diff).hexdigest() if diff else None,
    }, diff or b""


def _git(*arguments: str) -> bytes | None:
    """Return what git says of the working folder; None where it has no answer."""
    # a hook that the folder's own settings name isn't called
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout if asked.returncode == 0 else None


def write_diff(folder: Path, diff: bytes) -> None:
    """Keep beside a run's result.json what was changed since the commit, cut after 1 MiB; nothing if nothing."""
    if len(diff) > _LONGEST_DIFF:
        diff = diff[:_LONGEST_DIFF] + b"\n... cut here: it is longer; its hash in result.json is of the whole\n"
    if diff:
        write_whole(folder / DIFF, diff)
