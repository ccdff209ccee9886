"""A folder for each run and each sweep, claimed before anything is written, and never shared."""

import contextlib
import functools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from cnnexp.command import plugins
from cnnexp.command.recorded import changed_since, settings_of
from cnnexp.command.resolvers import claim
from cnnexp.errors import CnnexpError, Refused
from cnnexp.job import ranks
from cnnexp.runs import write_whole
from cnnexp.sweeps import cluster, sweep

_made: dict[Path, list[Path]] = {}
"""The folders that this process claimed, and what it had to make above each, the nearest first."""

_SAYS_NOTHING = {".hydra", "run.log", "result.json"}


class ClaimFolders(Callback):
    """Check what was asked for, then make the folder for it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the folder of a single run."""
        from cnnexp.command.check import check

        try:
            cluster.refuse_single_run(config)
            check(config)
            if config.hydra.runtime.choices.task == "fit":
                # what only torch and Lightning know to refuse, while there is no folder yet; torch alone is there
                # in half the time
                from cnnexp.job.optimization import build_optimization

                build_optimization(config)
                from cnnexp.tasks.fit import rehearse

                folder = ranks.meet(rehearse(config), lambda: self._own_folder(config))
            else:
                ranks.refuse_typed(config)
                folder = self._own_folder(config)
        except Exception as error:  # a bug too: Hydra would make a warning of it, and go on
            raise Refused from error
        with read_write(config), open_dict(config):
            config.hydra.run.dir = str(folder)
            if not ranks.is_first():
                ranks.follow(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the folder of a sweep, and name its jobs by what is swept."""
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.override_parser.overrides_parser import OverridesParser

        loader = GlobalHydra.instance().config_loader()
        try:
            plugins.check_plugins(config)
            cluster.prepare(config)
            jobs = sweep.jobs_of(config, loader)
            if plugins.is_search(config):
                from cnnexp.sweeps.search import begin_search

                begin_search(config, loader, lambda: self._claim(config, "hydra.sweep.dir").resolve())
            else:
                check_jobs(config, jobs, loader)
            if sweep.current is None:
                sweep.current = sweep.Sweep(self._claim(config, "hydra.sweep.dir").resolve())
        except Exception as error:
            raise Refused from error
        folder = sweep.current.folder
        sweep.current.jobs = None if jobs is None else len(jobs)
        overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
        fixed = [override.key_or_group for override in overrides if not override.is_sweep_override()]
        fixed.append("resume")
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = str(folder)
            config.hydra.job.config.override_dirname.exclude_keys = fixed
            # each job composes its settings anew, from these overrides
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(str(folder))}")
            config.hydra.overrides.hydra.append(
                f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quoted, fixed))}]"
            )

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the settings with all values in place, instead of Hydra's record that looks them up."""
        if config.hydra.output_subdir is None:  # it has its record: it was started before
            if config.hydra.mode == RunMode.MULTIRUN:
                note_resume(Path(config.resume), config)
            return
        folder = Path(config.hydra.runtime.output_dir) / str(config.hydra.output_subdir)
        try:
            write_whole(folder / "config.yaml", OmegaConf.to_yaml(settings_of(config), resolve=True).encode())
            for name in ("hydra.yaml", "overrides.yaml"):  # Hydra doesn't flush what it writes to the disk
                write_whole(folder / name, (folder / name).read_bytes())
        except OSError as error:  # of which Hydra would make a warning
            raise Refused from error

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Let go of the job's settings, which Hydra would keep in memory for every job until a sweep's end."""
        job_return.cfg = job_return.hydra_cfg = None

    def _own_folder(self, config: DictConfig) -> Path:
        if config.resume is None:
            return self._claim(config, "hydra.run.dir")
        resume(config)
        return Path(config.hydra.run.dir)

    @staticmethod
    def _claim(config: DictConfig, key: str) -> Path:
        folder = Path(OmegaConf.select(config, key))
        missing = [parent for parent in folder.absolute().parents if not parent.exists()]
        try:
            claimed = claim(folder)
            _made[claimed.resolve()] = missing
            return claimed
        except FileExistsError:  # a file stands where a folder above ours should be
            raise CnnexpError(f"{folder}: a part of this path is a file, not a folder") from None


def give_back(folder: Path) -> None:
    """Remove a run's folder if this process made it and there is nothing in it but how the run began.

    A mistake that is found only once the data are there then leaves no more behind than one that is found before.
    """
    missing = _made.pop(folder.resolve(), None)
    if missing is None or not {path.name for path in folder.iterdir()} <= _SAYS_NOTHING:
        return
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # somebody else's run is in it by now
        for parent in missing:
            parent.rmdir()


def resume(config: DictConfig) -> None:
    """Check that a run can go on as asked, and note in its folder that it does.

    Raises CnnexpError for settings that would make it another experiment.
    """
    from cnnexp import runs

    folder = Path(config.hydra.run.dir)
    changed = changed_since(folder, config)
    if changed:
        free = ", ".join(key for key in runs.FREE_TO_CHANGE if "." in key)
        raise CnnexpError(
            f"resume= can't change {', '.join(changed)}: it would be another experiment. It may change {free}, "
            f"logger; for a new run with other settings type run={config.resume}"
        )
    result = runs.read_result(folder) or {}
    epochs = config.trainer.max_epochs
    planned = OmegaConf.load(folder / ".hydra" / "config.yaml").trainer.max_epochs
    more = epochs is not None and planned != epochs and epochs > (result.get("epochs") or 0)
    if result.get("status") == "completed" and not more:
        raise CnnexpError(
            f"{config.resume} is complete after {result.get('epochs')} epochs; to train on, type "
            f"trainer.max_epochs={2 * (result.get('epochs') or 1)}, say"
        )
    note_resume(folder, config)


def note_resume(folder: Path, config: DictConfig) -> None:
    """Add to a run's record that it is gone on with; raises CnnexpError while another process works on it."""
    from datetime import datetime

    from cnnexp import runs

    with runs.held(folder), (folder / ".hydra" / "resumes.yaml").open("a") as file:
        entry = {"at": datetime.now().isoformat(timespec="seconds"), "overrides": config.hydra.overrides.task}
        OmegaConf.save(OmegaConf.create([entry]), file)


def check_jobs(config: DictConfig, jobs: Sequence[Sequence[str]] | None, loader: Any) -> None:
    """Compose and check the jobs of a sweep; raises what is wrong with the first that won't do.

    Composing takes a tenth of a second, so of the jobs that choose the same of each config group only as many are
    composed as it takes to see each value once. What only two values together get wrong, the job itself says.
    """
    from cnnexp.command.check import check

    @functools.cache  # it looks through folders
    def is_group(key: str) -> bool:
        return bool(loader.get_group_options(key))

    seen: set[tuple[tuple[str, ...], str]] = set()
    for job in jobs or ():
        choices = tuple(override for override in job if is_group(override.partition("=")[0].lstrip("+~")))
        new = {(choices, override) for override in ("", *job)} - seen
        if new:
            composed = loader.load_sweep_config(config, list(job))
            check(composed)
            ranks.refuse_in_sweep(composed)
            seen |= new


def quoted(text: str) -> str:
    """Return a text as Hydra's override grammar quotes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
