"""A sweep whose jobs run elsewhere: submitit starts them, in Slurm or as processes, and this process waits.

A job that is stopped and started again, whoever does it, goes on in the folder that it had.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from cnnexp.command.arguments import quoted, value_of
from cnnexp.command.plugins import changeable
from cnnexp.errors import CnnexpError, StopSweep
from cnnexp.interrupts import Interrupted, raise_on_signals
from cnnexp.runs import STOPPED, claim, read_result
from cnnexp.sweeps import sweep
from cnnexp.sweeps.resume import folder_name, go_on, has_record
from cnnexp.sweeps.slurm import LOGS, OURS, Ends, check_slurm, last_line, refuse_while_queued

_PLUGIN = "hydra_plugins.hydra_submitit_launcher.submitit_launcher."
NOTHING = JobReturn(status=JobStatus.COMPLETED)


def prepare(config: DictConfig) -> None:
    """Put our launcher in the place of submitit's; raises CnnexpError where the jobs couldn't be started."""
    target = config.hydra.launcher._target_
    if not target.startswith(_PLUGIN):
        return
    if target.endswith("LocalLauncher") and config.hydra.launcher.nodes > 1:
        raise CnnexpError(f"hydra.launcher.nodes={config.hydra.launcher.nodes}: here is one machine; type nodes=1")
    with changeable(config):
        config.hydra.launcher._target_ = ours = target.replace(_PLUGIN, OURS)
        config.hydra.overrides.hydra.append(f"hydra.launcher._target_={ours}")  # each job composes the same
    if target.endswith("SlurmLauncher"):
        check_slurm(
            f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}", config.hydra.launcher.partition
        )
        if sweep.current is not None:
            refuse_while_queued(sweep.current.folder)


class Elsewhere:
    """Overrides submitit's launcher: a base to put before it."""

    # attributes of the plugin's launcher
    _EXECUTOR: str
    config: Any
    params: Mapping[str, Any]
    hydra_context: Any

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Start the jobs and wait until all have ended; a failed one doesn't stop the others.

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
        assert sweep.current is not None
        taken = self.__dict__.setdefault("_names", set())
        given = value_of("hydra.sweep.subdir", overrides)
        if given is not None:
            return given
        if (resumed := value_of("resume", overrides)) is not None:
            return Path(resumed).name
        plain = folder_name(self.config, overrides)
        name, number = plain, 1
        while name in taken or has_record(sweep.current.folder / name):
            number += 1
            name = f"{plain}-{number}"
        taken.add(name)
        return name

    def _submit(self, names: Sequence[str], job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        import submitit
        from hydra.core.singleton import Singleton

        numbers = range(first, first + len(names))
        arguments = {
            "sweep_overrides": [
                [*overrides, f"hydra.sweep.subdir={quoted(name)}"]
                for name, overrides in zip(names, job_overrides, strict=True)
            ],
            "job_dir_key": ["hydra.sweep.dir"] * len(names),
            "job_num": numbers,
            "job_id": [f"job_id_for_{number}" for number in numbers],
            "singleton_state": [Singleton.get_state()] * len(names),
        }
        executor = self._executor()
        # the jobs inherit this: Ctrl-C reaches all processes of a terminal, and only this one should react
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return executor.map_array(self, *arguments.values())
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise CnnexpError(f"the jobs were refused: {last_line(str(error))}") from None
        finally:
            signal.signal(signal.SIGINT, before)

    def _executor(self) -> Any:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        if "_logs" not in self.__dict__:
            # a new folder: submitit unpickles what is in it
            self._logs = claim(Path(self.config.hydra.sweep.dir) / LOGS)
        params = {key: value for key, value in self.params.items() if key != "submitit_folder"}
        if self._EXECUTOR == "slurm" and params.get("cpus_per_task"):
            # srun doesn't take the number over from sbatch. The threads are fixed because results depend on their
            # number in the last bits, and a resumed job must repeat them
            cpus = f"export SRUN_CPUS_PER_TASK={params['cpus_per_task']} OMP_NUM_THREADS={params['cpus_per_task']}"
            params["setup"] = [cpus, *(params.get("setup") or [])]
        shared = BaseQueueConf.__dataclass_fields__
        named = {key if key in shared else f"{self._EXECUTOR}_{key}": value for key, value in params.items()}
        first = {key: named.pop(key) for key in list(named) if key.endswith("_max_num_timeout")}
        executor = submitit.AutoExecutor(self._logs / "%j", cluster=self._EXECUTOR, **first)
        try:
            executor.update_parameters(**named)
        except (AssertionError, NameError, ValueError) as error:  # submitit's answers to wrong parameters
            raise CnnexpError(f"hydra.launcher: {error}") from None
        return executor

    def _wait(self, jobs: Mapping[str, Any], whole: sweep.Sweep) -> dict[str, JobReturn]:
        returned: dict[str, JobReturn] = {}
        left, ends = dict(jobs), Ends(self._EXECUTOR == "slurm")
        while left:
            for name, job in ends.among(left):
                del left[name]
                result = read_result(whole.folder / name) or {}
                status = result.get("status", "never began")
                outcome, why = _outcome(job)
                # only a completed job returned something
                returned[name] = outcome if status == "completed" and outcome else NOTHING
                whole.finished(name, result)
                if status not in ("completed", "failed") and STOPPED not in result:
                    whole.unfinished[name] = f"{status}: {why}"
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
            going_on = go_on(folder)
            if going_on is None:
                return NOTHING
            return super().__call__([*sweep_overrides, *going_on], *arguments)  # type: ignore[misc]
        except StopSweep:  # the waiting process stops the sweep
            return NOTHING
        except Interrupted as interrupted:
            # requeueing sends further signals to this job
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            if interrupted.number == again and callable(submitits):
                submitits(again, None)
            sys.exit(interrupted.exit_status)

    def _folder(self, overrides: Sequence[str]) -> Path:
        return Path(self.config.hydra.sweep.dir) / str(value_of("hydra.sweep.subdir", overrides))


def _outcome(job: Any) -> tuple[JobReturn | None, str]:
    """Return what a job returned, if anything, and the last line of its log."""
    import submitit

    if job.paths.result_pickle.exists():
        try:
            outcome = job.result()
        except submitit.core.utils.UncompletedJobError:
            pass  # its log says the same
        else:
            if outcome.status == JobStatus.COMPLETED:
                return outcome, ""
            return None, str(outcome._return_value)
    for path in (job.paths.stderr, job.paths.stdout):
        if path.is_file() and (said := path.read_text(errors="replace").strip()):
            # Slurm's own errors (memory, time) are followed by lines that say less
            errors = [line for line in said.splitlines() if "error: " in line]
            return None, f"{last_line(errors[-1] if errors else said)} ({path})"
    return None, f"it left no log in {job.paths.folder}"
