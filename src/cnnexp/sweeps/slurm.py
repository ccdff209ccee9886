"""Ask Slurm's own commands: partitions, queued jobs, jobs that have ended."""

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnexp.errors import CnnexpError

OURS = "hydra_plugins.cnnexp_submitit.Cnnexp"
"""How the names of our launchers begin, which stand in the place of submitit's plugin's."""

LOGS = ".submitit"
_QUEUE_SECONDS = 10


def check_slurm(typed: str, partitions: str | None) -> None:
    """Raise CnnexpError where Slurm, or a partition of a list (``main,gpu``), isn't there."""
    missing = [command for command in ("sbatch", "srun", "squeue", "sinfo") if shutil.which(command) is None]
    if missing:
        raise CnnexpError(
            f"{typed}: there is no Slurm here ({missing[0]} isn't found); leave hydra/launcher out to run "
            "the jobs on this machine, or type this on a cluster's login node"
        )
    asked = _ask("sinfo", "--noheader", "--format=%R")
    if asked.returncode != 0:
        raise CnnexpError(f"{typed}: Slurm doesn't answer: {last_line(asked.stderr)}")
    known = set(asked.stdout.split())
    for partition in (partitions or "").split(","):
        if partition and partition not in known:
            raise CnnexpError(
                f"hydra.launcher.partition={partition}: there is no such partition; "
                f"there are {', '.join(sorted(known))}"
            )


def refuse_while_queued(folder: Path) -> None:
    """Raise CnnexpError while jobs of a sweep that is to be resumed are queued or at work."""
    ids = {path.name.partition("_")[0] for path in folder.glob(f"{LOGS}*/*/*_submission.sh")}
    left = {job.partition("_")[0] for job in _queued(ids) or ()}
    if left:
        raise CnnexpError(
            f"jobs of {folder} are still queued or at work; wait for them, or cancel them: "
            f"scancel {' '.join(sorted(left))}"
        )


def _queued(ids: set[str]) -> set[str] | None:
    """Return which jobs of these (arrays of) jobs are queued or at work; None where Slurm doesn't say."""
    numbers = sorted(one for one in ids if one.isdigit())
    if not numbers:
        return set()
    # squeue fails for a single forgotten job, and leaves it out of a list
    asked = _ask("squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(numbers)}")
    if asked.returncode == 0:
        return set(asked.stdout.split())
    return set() if "Invalid job id" in asked.stderr else None


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer to {command[0]} in 60 s")


def last_line(text: str) -> str:
    """Return the last line of an error, where programs say what was wrong."""
    return (text.strip().splitlines() or ["it doesn't say why"])[-1]


class Ends:
    """Finds out which jobs have ended."""

    def __init__(self, slurm: bool) -> None:
        self.slurm = slurm
        self.absent: set[str] = set()
        self.asked = time.monotonic()

    def among(self, jobs: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Return the jobs, by name, that left a result or are no longer there."""
        if not self.slurm:
            return [(name, job) for name, job in jobs.items() if job.done()]
        # by its file; submitit would ask Slurm's accounting too, which not every cluster has
        ended = [(name, job) for name, job in jobs.items() if job.paths.result_pickle.exists()]
        if time.monotonic() - self.asked < _QUEUE_SECONDS:
            return ended
        self.asked = time.monotonic()
        queued = _queued({job.job_id.partition("_")[0] for job in jobs.values()})
        if queued is None:
            return ended
        absent = {name for name, job in jobs.items() if job.job_id not in queued}
        # absent twice: on a slow file system the file may come seconds after the job left the queue
        ended += [(name, jobs[name]) for name in absent & self.absent if name not in dict(ended)]
        self.absent = absent
        return ended
