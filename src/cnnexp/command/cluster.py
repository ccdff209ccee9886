"""A sweep whose jobs run elsewhere: submitit starts them, in Slurm or as processes, and this process waits for them.

A job that is stopped and started again, whoever does it, goes on in the folder that it had.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, open_dict, read_write

from cnnexp.command import sweep
from cnnexp.command.resolvers import claim, job_folder
from cnnexp.errors import CnnexpError, StopSweep
from cnnexp.interrupts import Interrupted, raise_on_signals

_PLUGIN = "hydra_plugins.hydra_submitit_launcher.submitit_launcher."
_OURS = "hydra_plugins.cnnexp_submitit.Cnnexp"
_QUEUE_SECONDS = 10
_LOGS = ".submitit"


def refuse_single_run(config: DictConfig) -> None:
    """Raise CnnexpError where a launcher was typed for a single run, which Hydra starts without any."""
    typed = [override for override in config.hydra.overrides.hydra if override.startswith("hydra/launcher=")]
    if typed and not typed[-1].endswith("=basic"):
        raise CnnexpError(f"{typed[-1]} is for sweeps, and this is a single run; add -m, it may be a sweep of one job")


def prepare(config: DictConfig) -> None:
    """Put our launcher in the place of submitit's; raises CnnexpError where the jobs couldn't be started."""
    target = config.hydra.launcher._target_
    if not target.startswith(_PLUGIN):
        return
    with read_write(config), open_dict(config):
        config.hydra.launcher._target_ = target.replace(_PLUGIN, _OURS)
    if target.endswith("SlurmLauncher"):
        _check_slurm(f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}", config.hydra.launcher.partition)
        if sweep.current is not None:
            _refuse_while_queued(sweep.current.folder)


def _check_slurm(typed: str, partitions: str | None) -> None:
    missing = [command for command in ("sbatch", "srun", "squeue", "sinfo") if shutil.which(command) is None]
    if missing:
        raise CnnexpError(
            f"{typed}: there is no Slurm here ({missing[0]} isn't found); leave hydra/launcher out to run the jobs here, "
            "or type this on a cluster's login node"
        )
    asked = _ask("sinfo", "--noheader", "--format=%R")
    if asked.returncode != 0:
        raise CnnexpError(f"{typed}: Slurm doesn't answer: {_last_line(asked.stderr)}")
    known = set(asked.stdout.split())
    for partition in (partitions or "").split(","):
        if partition and partition not in known:
            raise CnnexpError(
                f"hydra.launcher.partition={partition}: there is no such partition; there are {', '.join(sorted(known))}"
            )


def _refuse_while_queued(folder: Path) -> None:
    """Raise CnnexpError while jobs of a sweep that is to be resumed are queued or at work."""
    ids = {path.name.partition("_")[0] for path in folder.glob(f"{_LOGS}*/*") if path.is_dir()}
    left = {job.partition("_")[0] for job in _queued(ids) or ()}
    if left:
        raise CnnexpError(
            f"jobs of {folder} are still queued or at work; wait for them, or cancel them: scancel {' '.join(sorted(left))}"
        )


def _queued(ids: set[str]) -> set[str] | None:
    """Return which jobs of these (arrays of) jobs are queued or at work; None where Slurm doesn't say."""
    numbers = sorted(one for one in ids if one.isdigit())
    if not numbers:
        return set()
    # asked for one that it has forgotten, squeue fails; asked for several it leaves it out
    asked = _ask("squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(numbers)}")
    if asked.returncode == 0:
        return set(asked.stdout.split())
    return set() if "Invalid job id" in asked.stderr else None


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer to {command[0]} in 60 s")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it doesn't say why"])[-1]


class Elsewhere:
    """What our launchers do otherwise than submitit's plugin: a base to put before the plugin's launcher."""

    # what the plugin's launcher has
    _EXECUTOR: str
    config: Any
    params: Mapping[str, Any]
    hydra_context: Any

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Start jobs and wait for their ends; that one fails doesn't keep the others from running.

        Raises CnnexpError where they are refused.
        """
        whole = sweep.current
        assert whole is not None
        names = [self._name(overrides) for overrides in job_overrides]
        if not names:
            return []
        jobs = dict(zip(names, self._submit(names, job_overrides, initial_job_idx), strict=True))
        ids = sorted({job.job_id.partition("_")[0] for job in jobs.values()})
        slurm = self._EXECUTOR == "slurm"
        whole.cancel = " ".join(["scancel" if slurm else "kill", *ids])
        show = f"squeue -j {','.join(ids)}" if slurm else f"ps {' '.join(ids)}"
        print(f"{len(names)} jobs started; to see them: {show}; to cancel them: {whole.cancel}", flush=True)
        returned = self._wait(jobs, whole)
        whole.cancel = None
        return [returned[name] for name in names]

    def _name(self, overrides: Sequence[str]) -> str:
        """Return a job's folder, named here once so that a job that is started again has the same."""
        from hydra._internal.config_loader_impl import get_overrides_dirname
        from hydra.core.override_parser.overrides_parser import OverridesParser

        assert sweep.current is not None
        taken = self.__dict__.setdefault("_names", set())
        of_task = [override for override in overrides if not override.startswith("hydra")]
        parsed = OverridesParser.create().parse_overrides(of_task)
        for override in parsed:
            if override.key_or_group == "resume":
                return Path(str(override.value())).name
        settings = self.config.hydra.job.config.override_dirname
        plain = job_folder(
            get_overrides_dirname(parsed, settings.exclude_keys, settings.item_sep, settings.kv_sep)
        )
        name, number = plain, 1
        while name in taken or sweep.has_record(sweep.current.folder / name):
            number += 1
            name = f"{plain}-{number}"
        taken.add(name)
        return name

    def _submit(self, names: Sequence[str], job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        import submitit
        from hydra.core.singleton import Singleton
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        from cnnexp.command.claim import quoted

        if "_logs" not in self.__dict__:
            # never one that was there: what is unpickled must not be a stranger's
            self._logs = claim(Path(self.config.hydra.sweep.dir) / _LOGS)
        params = {key: value for key, value in self.params.items() if key != "submitit_folder"}
        retries = {f"{self._EXECUTOR}_max_num_timeout": params.pop("max_num_timeout")} if "max_num_timeout" in params else {}
        if self._EXECUTOR == "slurm" and params.get("cpus_per_task"):
            # srun no longer takes it over from sbatch; and the bits of a result depend on the number of threads,
            # which mustn't be another one where a job goes on
            cpus = f"export SRUN_CPUS_PER_TASK={params['cpus_per_task']} OMP_NUM_THREADS={params['cpus_per_task']}"
            params["setup"] = [cpus, *(params.get("setup") or [])]
        shared = set(BaseQueueConf.__dataclass_fields__)
        state = Singleton.get_state()
        arguments = [
            ([*overrides, f"hydra.sweep.subdir={quoted(name)}"], "hydra.sweep.dir", number, f"job_id_for_{number}", state)
            for number, (name, overrides) in enumerate(zip(names, job_overrides, strict=True), first)
        ]
        # the jobs inherit it: Ctrl-C, which reaches all processes of a terminal, is for the one that waits
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            executor = submitit.AutoExecutor(self._logs / "%j", cluster=self._EXECUTOR, **retries)
            executor.update_parameters(
                **{key if key in shared else f"{self._EXECUTOR}_{key}": value for key, value in params.items()}
            )
            return executor.map_array(self, *zip(*arguments, strict=True))
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise CnnexpError(f"sbatch refused the jobs: {_last_line(str(error))}") from None
        except (AssertionError, NameError, ValueError) as error:
            raise CnnexpError(f"hydra.launcher: {error}") from None
        finally:
            signal.signal(signal.SIGINT, before)

    def _wait(self, jobs: Mapping[str, Any], whole: sweep.Sweep) -> dict[str, JobReturn]:
        from cnnexp import runs

        returned: dict[str, JobReturn] = {}
        left, gone = dict(jobs), Gone(self._EXECUTOR == "slurm")
        while left:
            for name, job in gone.among(left):
                del left[name]
                result = runs.read_result(whole.folder / name) or {}
                status = result.get("status", "never began")
                returned[name] = _returned(job, status)
                whole.finished(name, result)
                if status not in ("completed", "failed"):
                    why = _last_line(_read(job.paths.stderr) or _read(job.paths.stdout))
                    whole.unfinished[name] = f"{status}: {why} ({job.paths.stderr})"
                print(whole.tell(name, status), flush=True)
                if status == "failed" and self.config.fail_fast:
                    assert whole.cancel is not None
                    subprocess.run(whole.cancel.split(), check=False)
                    raise StopSweep
            if left:
                time.sleep(max(1.0, len(left) / 100))
        return returned

    def __call__(self, sweep_overrides: list[str], *arguments: Any) -> JobReturn:
        """Do one job, where it runs; stopped by a cluster's signal it is queued again."""
        import submitit

        again = signal.Signals[f"SIG{submitit.JobEnvironment().USR_SIG}"]
        submitits = signal.getsignal(again)
        raise_on_signals((signal.SIGINT, signal.SIGTERM, again))
        try:
            folder = self._folder(sweep_overrides)
            going_on = [] if any(one.startswith("resume=") for one in sweep_overrides) else sweep.go_on(folder)
            if going_on is None:
                return JobReturn(status=JobStatus.COMPLETED)
            return super().__call__([*sweep_overrides, *going_on], *arguments)  # type: ignore[misc]
        except StopSweep:
            return JobReturn(status=JobStatus.COMPLETED)
        except Interrupted as interrupted:
            # being queued again ends the job by further signals
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            if interrupted.number == again and callable(submitits):
                submitits(again, None)
            sys.exit(interrupted.exit_status)

    def _folder(self, overrides: Sequence[str]) -> Path:
        from cnnexp.command.arguments import value_of

        return Path(self.config.hydra.sweep.dir) / str(value_of("hydra.sweep.subdir", overrides))


class Gone:
    """Finds out which jobs have ended."""

    def __init__(self, slurm: bool) -> None:
        self.slurm = slurm
        self.absent: set[str] = set()
        self.asked = time.monotonic()

    def among(self, jobs: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Return the jobs, by name, that left a result or are no longer there."""
        if not self.slurm:
            return [(name, job) for name, job in jobs.items() if job.done()]
        # a file tells it; submitit would ask for accounting too, which not every cluster has
        ended = [(name, job) for name, job in jobs.items() if job.paths.result_pickle.exists()]
        if time.monotonic() - self.asked < _QUEUE_SECONDS:
            return ended
        self.asked = time.monotonic()
        queued = _queued({job.job_id.partition("_")[0] for job in jobs.values()})
        if queued is None:
            return ended
        absent = {name for name, job in jobs.items() if job.job_id not in queued}
        # twice: between its end in the queue and its file on a slow file system there may be some seconds
        ended += [(name, jobs[name]) for name in absent & self.absent if name not in dict(ended)]
        self.absent = absent
        return ended


def _returned(job: Any, status: str) -> JobReturn:
    """Return what a job gave back; of one that didn't end well nothing, its folder tells why."""
    import submitit

    if status == "completed" and job.paths.result_pickle.exists():
        try:
            outcome = job.result()
        except submitit.core.utils.UncompletedJobError:
            outcome = None
        if outcome is not None and outcome.status == JobStatus.COMPLETED:
            return outcome
    return JobReturn(status=JobStatus.COMPLETED)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
