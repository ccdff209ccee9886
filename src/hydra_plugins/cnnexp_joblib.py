"""The launcher of ``hydra/launcher=joblib``, here because Hydra takes plugins from this namespace alone."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Len
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class CnnexpJoblibLauncher(Launcher):
    """Hydra's joblib launcher, with workers that know of the sweep and end as a single run does.

    joblib gives each worker its share of the cores (OMP_NUM_THREADS and its like), unless they are set already.

    On a machine with several GPUs each worker sees one of them, so that jobs don't all train on the first.

    Args:
        n_jobs: jobs at once; -1 for ``jobs_per_gpu`` on each GPU, and where there is none for one a core.
        jobs_per_gpu: jobs that share a GPU.
        gpus: numbers of the GPUs to use; all that torch sees when None.
    """

    NEEDS = "hydra_plugins.hydra_joblib_launcher", "joblib"

    def __init__(
        self,
        n_jobs: Literal[-1] | Annotated[int, Ge(1)] = -1,
        jobs_per_gpu: Annotated[int, Ge(1)] = 1,
        gpus: Annotated[Sequence[Annotated[int, Ge(0)]], Len(1)] | None = None,
    ) -> None:
        self.n_jobs, self.jobs_per_gpu, self.gpus = n_jobs, jobs_per_gpu, gpus
        # kept for all batches: with the same arguments joblib uses the same workers again
        self._busy: Path | None = None
        self._workers = 1

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives every launcher."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    @property
    def at_once(self) -> int:
        """How many jobs run at once."""
        from cnnexp.sweeps.gpus import jobs_at_once

        return jobs_at_once(self.config, self.n_jobs, self.jobs_per_gpu, self.gpus)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, several at once, and return what each returned."""
        from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        from cnnexp.sweeps import sweep, workers
        from cnnexp.sweeps.gpus import seen

        if not job_overrides:
            return []
        if self._busy is None:
            self._busy = Path(tempfile.mkdtemp(prefix="cnnexp-"))
            weakref.finalize(self, shutil.rmtree, self._busy, ignore_errors=True)
            # no more than there are jobs: idle workers would take their share of the cores
            self._workers = min(self.at_once, len(job_overrides))
        options: dict[str, Any] = {"n_jobs": self._workers, "batch_size": 1}
        if sweep.current is not None and self._workers != 1:
            started = workers.Start(
                folder=sweep.current.folder,
                jobs=sweep.current.jobs,
                workers=self._workers,
                started=sweep.current.started,
                busy=self._busy,
                parent=os.getpid(),
                gpus=tuple(seen(self.config, self.gpus)),
            )
            options |= {"initializer": workers.start, "initargs": (started,)}
        launcher = JoblibLauncher(**options)
        launcher.setup(
            hydra_context=self.hydra_context,
            task_function=workers.InWorker(self.task_function),
            config=self.config,
        )
        left = dict(enumerate(job_overrides))
        returned: dict[int, JobReturn] = {}
        with workers.ended_together(self._busy):
            while left:
                try:
                    done = launcher.launch(list(left.values()), initial_job_idx)
                    returned |= dict(zip(left, done, strict=True))
                    break
                except TerminatedWorkerError:  # killed, for its memory perhaps; joblib then ends the others too
                    before = dict(enumerate(left))
                    found = workers.what_became_of(self._busy, initial_job_idx, len(left))
                    returned |= {before[number]: job for number, job in found.items()}
                    if not found:
                        raise
                    initial_job_idx += len(left)
                    left = {number: job for number, job in left.items() if number not in returned}
        return [returned[number] for number in range(len(job_overrides))]
