"""A search by Optuna: its trials are the jobs of a sweep, shared by several processes, gone on with later."""

import contextlib
import logging
import socket
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from cnnexp.command.arguments import quoted
from cnnexp.command.call import instantiate
from cnnexp.command.recorded import without_hydra
from cnnexp.command.resolvers import job_folder
from cnnexp.errors import CnnexpError, StopSweep
from cnnexp.interrupts import let_through
from cnnexp.records import checked, refuse_links
from cnnexp.reports.search import SEARCH, described
from cnnexp.reports.tables import shown
from cnnexp.runs import claim, differences, write_json
from cnnexp.sweeps import sweep
from cnnexp.sweeps.grid import check_jobs
from cnnexp.sweeps.resume import again_in
from cnnexp.sweeps.search_space import chosen, fixed, overrides_of, probes, space_of
from cnnexp.sweeps.study import FOLDER, HOST, OWN_FILE, PROCESS, Process, lock_of, open_study, settle, tell

log = logging.getLogger(__name__)

_NOBODY = "nobody"
"""Instead of the process at work, of a trial that waits for one."""

RECORD = "multirun.yaml"


class Search:
    """The search that this process is at.

    Args:
        config: the composed settings, Hydra's among them.
        hydra_context: what Hydra gives a sweeper.
        task_function: what does a job.
    """

    def __init__(self, config: DictConfig, hydra_context: HydraContext, task_function: TaskFunction) -> None:
        assert sweep.current is not None
        self.config, self.loader = config, hydra_context.config_loader
        self.options = config.hydra.sweeper
        self.folder = sweep.current.folder
        self.address = self.options.storage or str(self.folder / OWN_FILE)
        self.name: str = self.options.study_name or "search"
        overrides = overrides_of(self.options.params, config.hydra.overrides.task)
        self.space, self.fixed = space_of(overrides), fixed(overrides)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.at_once: int = self.options.n_jobs or getattr(self.launcher, "at_once", 1)
        self.begun = 0

    def run(self) -> None:
        """Run the trials that are missing, the interrupted ones first."""
        let_through()
        self.study = open_study(self.address, self.name, self.options.direction)
        self.process = Process(self.folder)
        try:
            left = self._left()
            assert sweep.current is not None
            sweep.current.jobs = self._missing() + len(left)
            if over := self._over():
                log.warning("study %s: %d of %d trials are done", self.name, over, self.options.n_trials)
            # at last those whose process was killed meanwhile
            while left := left or self._ask() or self._left():
                self._launch(left[: self.at_once])
                left = left[self.at_once :]
        except StopSweep:
            for trial in self._running():
                if trial.user_attrs.get(PROCESS) == self.process.name:
                    settle(self.study, trial, self.folder, self.space)
            raise
        finally:
            self._note()
            self.process.leave()

    def _running(self) -> list[Any]:
        # one without a machine was being asked for when its process was killed
        return [t for t in self.study.trials if t.state.name == "RUNNING" and HOST in t.user_attrs]

    def _over(self) -> int:
        return sum(trial.state.is_finished() for trial in self.study.trials)

    def _missing(self) -> int:
        """Return how many trials are neither finished nor running."""
        return max(self.options.n_trials - self._over() - len(self._running()), 0)

    def _job(self, params: Mapping[str, Any]) -> tuple[list[str], DictConfig]:
        """Return a trial's overrides, and the settings that they compose."""
        job = [*chosen({key: params[key] for key in self.space}), *self.fixed]
        return job, self.loader.load_sweep_config(self.config, job)

    def _left(self) -> list[tuple[int, list[str]]]:
        """Return the trials that a process of this machine left unfinished, each to be finished in its folder."""
        with lock_of(self.address):
            if "://" not in self.address or self.address.startswith("sqlite:"):
                # chosen by a process that was killed before it gave a folder to it
                for trial in self.study.trials:
                    if trial.state.name == "RUNNING" and HOST not in trial.user_attrs:
                        self._adopt(trial)
            taken = self.process.take_over(self._running())
        left = []
        for trial in taken:
            if not settle(self.study, trial, self.folder, self.space):
                job, composed = self._job(trial.params)
                folder = self.folder / str(trial.user_attrs[FOLDER])
                folder.mkdir(exist_ok=True)
                left.append((trial.number, [*job, *(again_in(folder, composed) or [])]))
        return left

    def _ask(self) -> list[tuple[int, list[str]]]:
        """Let Optuna choose the next trials, each with a folder of its own; none where none is missing."""
        asked = []
        with lock_of(self.address):
            self.study.sampler = self._sampler(len(self.study.trials))
            for _ in range(min(self.at_once, self._missing())):
                trial = self.study.ask(self.space)
                job, name = self._place(trial, self.process.name)
                asked.append((trial.number, [*job, f"hydra.sweep.subdir={quoted(name)}"]))
        return asked

    def _place(self, trial: Any, process: str) -> tuple[list[str], str]:
        """Give a folder to a trial, and note which process is at it; return its overrides and that folder."""
        job, composed = self._job(trial.params)
        folder = self.folder / job_folder(composed.hydra.job.override_dirname)
        if process == _NOBODY and all(one.user_attrs.get(FOLDER) != folder.name for one in self.study.trials):
            with contextlib.suppress(OSError):  # killed between the two lines below, it has left an empty folder
                folder.rmdir()
        name = claim(folder).name
        for key, value in ((FOLDER, name), (PROCESS, process), (HOST, self.process.host)):
            trial.set_user_attr(key, value)
        return job, name

    def _adopt(self, known: Any) -> None:
        """Give a folder to a trial that has none, as one of a process that is gone, with what isn't chosen yet."""
        from optuna.trial import Trial

        self.study.sampler = self._sampler(known.number)
        trial = Trial(self.study, known._trial_id)
        try:
            for key, distribution in self.space.items():
                trial._suggest(key, distribution)
            self._place(trial, _NOBODY)
        except (CnnexpError, ValueError):  # not a trial of this search
            tell(self.study, known.number, None)

    def _sampler(self, known: int) -> Any:
        node: Any = OmegaConf.to_container(self.options.sampler, resolve=True)
        if node.get("seed", 0) is None:
            # a function of the seed and the number of trials: a resumed search draws what it would have drawn
            node["seed"] = int(np.random.SeedSequence((self.config.seed, known)).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls some of its samplers experimental
            return instantiate(node)

    def _launch(self, trials: list[tuple[int, list[str]]]) -> None:
        """Run trials, each a number and a job's overrides, and tell the study how they ended."""
        ended = self.launcher.launch([job for _, job in trials], initial_job_idx=self.begun)
        self.begun += len(trials)
        for (number, _), job in zip(trials, ended, strict=True):
            tell(self.study, number, job.return_value)
        self._note()

    def _note(self) -> None:
        """Write the study's trials to a file beside the runs, so that a report needs no database."""
        write_json(self.folder / SEARCH, described(self.study, self.name, self.options.n_trials))


def begin_search(config: DictConfig, loader: Any, claimed: Callable[[], Path]) -> None:
    """Check a search, and settle which folder it has: one study has one, for all its processes and starts.

    Args:
        config: the composed settings.
        loader: composes a job's.
        claimed: makes a new folder.

    Raises:
        CnnexpError: for a search that can't be, where no database answers, or the study there has other settings.
    """
    options = config.hydra.sweeper
    if options.get("sampler") is None:
        samplers = ", ".join(loader.get_group_options("hydra/sweeper/sampler"))
        typed = config.hydra.runtime.choices.get("hydra/sweeper/sampler")
        raise CnnexpError(f"hydra/sweeper/sampler={typed}: there is no such sampler; allowed: {samplers}")
    if options.storage is not None and options.study_name is None:
        raise CnnexpError("hydra.sweeper.storage needs the study's name there; type hydra.sweeper.study_name=…")
    check_jobs(config, probes(overrides_of(options.params, config.hydra.overrides.task)), loader)
    settings: Any = OmegaConf.to_container(without_hydra(config), resolve=True)
    found = sweep.current.folder if sweep.current else None
    study = None
    if options.storage and not found:
        study = open_study(options.storage, options.study_name, options.direction)
    with lock_of(options.storage or str(found)):
        if study is not None:  # each machine may have a folder of its own
            known = [Path(str(value)) for key, value in study.user_attrs.items() if key.startswith(FOLDER)]
            # a study may be a stranger's: only where this search's own folder would be made
            place = Path(config.hydra.sweep.dir).resolve().parent
            there = [folder for folder in known if folder.resolve().parent == place]
            found = next((folder for folder in there if (folder / RECORD).is_file()), None)
            if found is not None:
                refuse_links(found)
        if found is None:
            found = claimed()
            sweep.begin(sweep.Sweep(found))
            # in the file that Hydra writes for a grid
            overrides = OmegaConf.to_container(config.hydra.overrides)
            OmegaConf.save({**settings, "hydra": {"overrides": overrides}}, found / RECORD)
            if study is not None:
                study.set_user_attr(f"{FOLDER}.{socket.gethostname()}", str(found))
    before: Any = OmegaConf.to_container(OmegaConf.load(checked(found / RECORD)), resolve=False)
    before.pop("hydra", None)
    if changed := differences(settings, before):
        raise CnnexpError(
            f"the study of {shown(found)} was started with another {', '.join(changed)}; give another study_name"
        )
    if sweep.current is None:
        sweep.begin(sweep.Sweep(found, resumed=True))
