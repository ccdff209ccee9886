"""How a sweep begins for Hydra: its jobs are checked, it gets a folder, its jobs are named by what is swept."""

from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from cnnexp import interrupts
from cnnexp.command import plugins
from cnnexp.command.arguments import quoted
from cnnexp.errors import CnnexpError, Refused
from cnnexp.job import ranks
from cnnexp.job.start import claim_for
from cnnexp.reports.baseline import as_list
from cnnexp.sweeps import cluster, sweep
from cnnexp.sweeps.asked import check_asked, halves, settles
from cnnexp.sweeps.grid import check_jobs, jobs_of


class StartSweep(Callback):
    """Hydra's callback for a sweep; one job's is `cnnexp.job.start.StartJob`."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the sweep, claim its folder, and name its jobs by what is swept."""
        loader = GlobalHydra.instance().config_loader()

        def new_folder() -> Path:
            interrupts.hold_back()  # until there is what `resume=` needs
            return claim_for(Path(config.hydra.sweep.dir))[0].resolve()

        try:
            plugins.check_plugins(config)
            cluster.prepare(config)
            if sweep.current is None and config.resume is not None:
                raise CnnexpError(
                    f"resume={config.resume} is one run, and -m would run it several times; leave -m out"
                )
            jobs = jobs_of(config, loader)
            overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
            check_asked(config, overrides, jobs)
            further = ", then further seeds until it is settled" if settles(config) else ""
            ranks.say_first(
                "a search" if jobs is None else f"a sweep of {len(jobs)} job{'s' * (len(jobs) > 1)}{further}"
            )
            if plugins.is_search(config):
                from cnnexp.sweeps.search import begin_search

                begin_search(config, loader, new_folder)
            else:
                check_jobs(config, jobs, loader)
                if jobs is not None and halves(config):
                    from cnnexp.sweeps.halving import rungs_of

                    rungs_of(config, jobs)
            if sweep.current is None:
                sweep.begin(sweep.Sweep(new_folder()))
            assert sweep.current is not None
            # a search in a database is shared by several processes
            if not plugins.is_search(config) or config.hydra.sweeper.storage is None:
                sweep.current.hold()
        except Exception as error:  # a bug too: Hydra would make a warning of it, and go on
            raise Refused from error
        folder = sweep.current.folder
        sweep.current.jobs = None if jobs is None else len(jobs)
        if jobs is not None and settles(config):
            from cnnexp.sweeps.settle import Settling

            sweep.current.settling = Settling(
                folder, jobs, as_list(config.get("baseline")), config.settle.max_seeds
            )
            sweep.current.jobs = None  # nobody knows yet
        if jobs is not None and halves(config):
            from cnnexp.sweeps.halving import Halving

            sweep.current.halving = Halving(config, jobs, loader)
            sweep.current.jobs = None  # they are begun several times
        sweep.current.baseline, sweep.current.reveal = as_list(config.get("baseline")), bool(config.get("reveal"))
        fixed = [override.key_or_group for override in overrides if not override.is_sweep_override()]
        fixed += ["resume", "stop_after_epoch"]
        with plugins.changeable(config):
            config.hydra.sweep.dir = str(folder)
            config.hydra.job.config.override_dirname.exclude_keys = fixed
            # each job composes its settings anew, from these overrides
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(str(folder))}")
            config.hydra.overrides.hydra.append(
                f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quoted, fixed))}]"
            )
