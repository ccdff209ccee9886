"""A search by Optuna: what Hydra's plugin lacks for several processes and for going on later."""

import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from cnnexp.command.arguments import quoted
from cnnexp.command.recorded import without_hydra
from cnnexp.command.resolvers import job_folder
from cnnexp.errors import CnnexpError, StopSweep
from cnnexp.reports.search import SEARCH, described
from cnnexp.reports.tables import shown
from cnnexp.runs import claim, differences, write_json
from cnnexp.sweeps import sweep
from cnnexp.sweeps.grid import check_jobs
from cnnexp.sweeps.resume import again_in
from cnnexp.sweeps.search_space import fixed, overrides_of, probes
from cnnexp.sweeps.study import FOLDER, HOST, PROCESS, Process, lock_of, open_study, settle, url_of_own

log = logging.getLogger(__name__)

RECORD = "multirun.yaml"
current: "Search | None" = None
"""The search at work. Not an argument: Optuna's plugin calls `note_trial` by its name and makes its launcher."""


class Search:
    """The search that this process is at.

    Args:
        config: the composed settings, Hydra's among them.
        hydra_context: what Hydra gives a sweeper.
        task_function: what does a job.
    """

    def __init__(self, config: DictConfig, hydra_context: HydraContext, task_function: TaskFunction) -> None:
        assert sweep.current is not None
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function
        self.options = config.hydra.sweeper
        self.folder = sweep.current.folder
        self.url, self.name = address(config, self.folder)
        self.fixed = fixed(overrides_of(self.options.params, config.hydra.overrides.task))
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.at_once: int = self.options.n_jobs or jobs_at_once(config)
        self.lock = lock_of(self.url)
        self.asked: list[Any] = []
        self.begun = 0

    def run(self) -> None:
        """Run the trials that are missing, the interrupted ones first."""
        global current
        current = self
        self.study = open_study(self.url, self.name, self.options.direction)
        self.process = Process(self.folder)
        try:
            with self.lock:
                found = self.process.take_over(self._running())
            left = [trial for trial in found if not settle(self.study, trial, self._folder(trial))]
            self._announce(len(left))
            self._go_on_with(left)
            while self._batch():
                self._note()
        except StopSweep:
            for trial in self._running():
                if trial.user_attrs.get(PROCESS) == self.process.name:
                    settle(self.study, trial, self._folder(trial))
            raise
        finally:
            if self.lock.is_locked:
                self.lock.release()
            self._note()
            self.process.leave()
            current = None

    def _running(self) -> list[Any]:
        from optuna.trial import TrialState

        return [trial for trial in self.study.trials if trial.state == TrialState.RUNNING]

    def _missing(self) -> int:
        """Return how many trials are neither finished nor running."""
        under_way = [trial for trial in self._running() if self.process.is_alive(trial)]
        over = [trial for trial in self.study.trials if trial.state.is_finished()]
        return self.options.n_trials - len(over) - len(under_way)

    def _announce(self, left: int) -> None:
        assert sweep.current is not None
        sweep.current.jobs = max(self._missing(), 0) + left
        over = len([trial for trial in self.study.trials if trial.state.is_finished()])
        if over:
            log.warning("study %s: %d of %d trials are done", self.name, over, self.options.n_trials)

    def _folder(self, trial: Any) -> Path:
        return self.folder / str(trial.user_attrs[FOLDER])

    def _go_on_with(self, trials: Sequence[Any]) -> None:
        """Finish trials whose process is gone, each in its folder."""
        from optuna.trial import TrialState

        loader = self.hydra_context.config_loader
        jobs = []
        for trial in trials:
            job = [*(f"{key}={value}" for key, value in trial.params.items()), *self.fixed]
            again = again_in(self._folder(trial), loader.load_sweep_config(self.config, job))
            jobs.append([*job, *(again or [])])
        for start in range(0, len(jobs), self.at_once):
            batch = slice(start, start + self.at_once)
            for trial, returned in zip(trials[batch], self._launch(jobs[batch]), strict=True):
                if returned.return_value is None:
                    self.study.tell(trial.number, state=TrialState.FAIL)
                else:
                    self.study.tell(trial.number, returned.return_value)
            self._note()

    def _launch(self, jobs: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
        returned = self.launcher.launch(jobs, initial_job_idx=self.begun)
        self.begun += len(jobs)
        return returned

    def _batch(self) -> bool:
        """Let Optuna choose the next trials and run them; return False where none is missing."""
        self.lock.acquire()
        missing = self._missing()
        if missing <= 0:
            return False
        # a function of the seed and the number of trials: a resumed search draws what it would have drawn
        known = len(self.study.trials)
        seed = int(np.random.SeedSequence((self.config.seed, known)).generate_state(1)[0])
        plugin = self._plugin(min(self.at_once, missing), seed)
        self.asked = []
        try:
            plugin.sweep(list(self.config.hydra.overrides.task))
        except ValueError:
            # the plugin reports its best trial, and fails where there is none
            if any(trial.value is not None for trial in self.study.trials) or not self.asked:
                raise
        return True

    def _plugin(self, trials: int, seed: int) -> Any:
        from hydra.utils import instantiate
        from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf

        logging.getLogger("hydra_plugins.hydra_optuna_sweeper").setLevel(logging.ERROR)
        node: Any = OmegaConf.to_container(OmegaConf.structured(OptunaSweeperConf))
        node.pop("defaults", None)
        sampler: Any = OmegaConf.to_container(self.options.sampler, resolve=True)
        if "seed" in sampler and sampler["seed"] is None:
            sampler["seed"] = seed
        node |= {
            "sampler": sampler,
            "direction": self.options.direction,
            "storage": self.url,
            "study_name": self.name,
            "n_trials": trials,
            "n_jobs": trials,
            "max_failure_rate": 1.0,  # a failed trial is counted, and the others go on
            "params": OmegaConf.to_container(self.options.params or OmegaConf.create()),
            "custom_search_space": f"{note_trial.__module__}.{note_trial.__name__}",
        }
        plugin = instantiate(node)
        ours = self.config.copy()
        with read_write(ours), open_dict(ours):
            ours.hydra.launcher = {"_target_": "hydra_plugins.cnnexp_optuna.TrialLauncher"}
        plugin.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=ours)
        return plugin

    def launch(self, jobs: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
        """Run the trials that were just asked for, each in a folder of its own."""
        loader = self.hydra_context.config_loader
        placed = []
        for trial, job in zip(self.asked, jobs, strict=True):
            composed = loader.load_sweep_config(self.config, list(job))
            folder = claim(self.folder / job_folder(composed.hydra.job.override_dirname))
            for key, value in ((FOLDER, folder.name), (PROCESS, self.process.name), (HOST, self.process.host)):
                trial.set_user_attr(key, value)
            placed.append([*job, f"hydra.sweep.subdir={quoted(folder.name)}"])
        self.lock.release()
        return self._launch(placed)

    def _note(self) -> None:
        """Write the study's trials to a file beside the runs, so that a report needs no database."""
        write_json(self.folder / SEARCH, described(self.study, self.name, self.options.n_trials))


def note_trial(config: DictConfig, trial: Any) -> None:
    """Note a trial that the plugin asks for; the plugin calls this."""
    assert current is not None
    current.asked.append(trial)


def jobs_at_once(config: DictConfig) -> int:
    """Return how many jobs the launcher runs at once."""
    from joblib import effective_n_jobs

    if config.hydra.launcher._target_.endswith("JoblibLauncher"):
        return effective_n_jobs(config.hydra.launcher.n_jobs)
    return 1


def address(config: DictConfig, folder: Path) -> tuple[str, str]:
    """Return a study's database and its name there."""
    options = config.hydra.sweeper
    return options.storage or url_of_own(folder), options.study_name or "search"


def check_search(config: DictConfig, loader: Any) -> None:
    """Raise CnnexpError for a search that can't be, before it has a folder."""
    options = config.hydra.sweeper
    samplers = [name for name in loader.get_group_options("hydra/sweeper/sampler") if name != "grid"]
    chosen = config.hydra.runtime.choices.get("hydra/sweeper/sampler")
    if options.get("sampler") is None:
        raise CnnexpError(
            f"hydra/sweeper/sampler={chosen}: there is no such sampler; allowed: {', '.join(samplers)}"
        )
    if chosen == "grid":
        raise CnnexpError("hydra/sweeper/sampler=grid: a grid is what -m runs by itself; leave hydra/sweeper out")
    if options.storage is not None and options.study_name is None:
        raise CnnexpError("hydra.sweeper.storage needs the study's name there; type hydra.sweeper.study_name=…")


def begin_search(config: DictConfig, loader: Any, claimed: Callable[[], Path]) -> None:
    """Check a search, and settle which folder it has: one study has one, for all its processes and starts.

    Args:
        config: the composed settings.
        loader: composes a job's.
        claimed: makes a new folder.

    Raises:
        CnnexpError: for a search that can't be, where no database answers, or the study there has other settings.
    """
    check_search(config, loader)
    check_jobs(config, probes(overrides_of(config.hydra.sweeper.params, config.hydra.overrides.task)), loader)
    url, name = config.hydra.sweeper.storage, config.hydra.sweeper.study_name
    if sweep.current is not None:
        refuse_other_settings(sweep.current.folder, config)
    elif url is None:
        sweep.current = sweep.Sweep(claimed())
        record(config, sweep.current.folder)
    else:
        study = open_study(url, name, config.hydra.sweeper.direction)
        with lock_of(url):
            # each machine may have a folder of its own
            known = [Path(value) for key, value in study.user_attrs.items() if key.startswith(FOLDER)]
            found = next((folder for folder in known if (folder / RECORD).is_file()), None)
            if found is None:
                sweep.current = sweep.Sweep(claimed())
                record(config, sweep.current.folder)
                study.set_user_attr(f"{FOLDER}.{socket.gethostname()}", str(sweep.current.folder))
        if found is not None:
            refuse_other_settings(found, config)
            sweep.current = sweep.Sweep(found, resumed=True)


def record(config: DictConfig, folder: Path) -> None:
    """Record what a search was started with, in the file that Hydra writes for a grid."""
    settings: Any = OmegaConf.to_container(without_hydra(config), resolve=True)
    overrides = OmegaConf.to_container(config.hydra.overrides)
    OmegaConf.save({**settings, "hydra": {"overrides": overrides}}, folder / RECORD)


def refuse_other_settings(folder: Path, config: DictConfig) -> None:
    """Raise CnnexpError where a study was started with other settings beside those that are searched."""
    before: Any = OmegaConf.to_container(OmegaConf.load(folder / RECORD), resolve=False)
    before.pop("hydra", None)
    now: Any = OmegaConf.to_container(without_hydra(config), resolve=True)
    changed = differences(now, before)
    if changed:
        raise CnnexpError(
            f"the study of {shown(folder)} was started with another {', '.join(changed)}; give another study_name"
        )
