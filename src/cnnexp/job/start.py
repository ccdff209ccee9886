"""How one job begins and ends for Hydra: it is checked, gets a folder, and its settings are recorded there."""

import os
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import InstantiationException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cnnexp import interrupts
from cnnexp.command import plugins
from cnnexp.command.check import check
from cnnexp.command.idle import refuse_idle
from cnnexp.command.recorded import settings_of
from cnnexp.errors import CantWrite, CnnexpError, LeftAlone, Refused
from cnnexp.job import ranks
from cnnexp.job.resume import check_resume, note_resume
from cnnexp.runs import claim, give_back, write_whole


class StartJob(Callback):
    """Hydra's callback for a single run, and for the record of every job."""

    def __init__(self) -> None:
        self._made: tuple[Path, list[Path]] | None = None  # the run's folder, and what was made above it

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run, then claim its folder."""
        try:
            if config.resume is not None:
                _say_how_to_go_on(config, Path(config.hydra.run.dir))
            plugins.refuse_launcher(config)
            refuse_idle(config)
            chosen = config.hydra.runtime.choices
            if chosen.task == "fit":  # at once: what is imported from here on takes seconds
                ranks.say_first(f"{chosen.model} on {chosen.data}, seed {config.seed}")
            check(config)
            if chosen.task == "fit":
                from cnnexp.job.rehearse import rehearse

                folder = ranks.meet(rehearse(config), lambda: self._own_folder(config))
            else:
                ranks.refuse_typed(config)
                folder = self._own_folder(config)
        except Exception as error:  # bugs too: Hydra would turn any Exception into a warning and go on
            raise Refused from error
        with plugins.changeable(config):
            config.hydra.run.dir = str(folder)
            if not ranks.is_first():
                ranks.follow(config)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the settings with all values in place, instead of Hydra's record that looks them up."""
        if not ranks.is_first():
            return
        try:
            if config.hydra.output_subdir is None:  # a resume: the record is there
                note_resume(Path(config.resume), config)
                return
            folder = Path(config.hydra.runtime.output_dir) / str(config.hydra.output_subdir)
            write_whole(folder / "config.yaml", OmegaConf.to_yaml(settings_of(config), resolve=True).encode())
            for name in ("hydra.yaml", "overrides.yaml"):  # Hydra doesn't flush what it writes to the disk
                write_whole(folder / name, (folder / name).read_bytes())
        except (CnnexpError, OSError) as error:  # Hydra would turn them into warnings
            raise Refused from error

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Drop the settings from memory; remove the folder of a run that a mistake ended at once."""
        # Hydra keeps them for every job until a sweep's end
        job_return.cfg = job_return.hydra_cfg = None
        if config.hydra.mode != RunMode.RUN or job_return.status != JobStatus.FAILED:
            return
        error = job_return._return_value
        if (
            self._made is not None
            and isinstance(error, (CnnexpError, InstantiationException))
            and not isinstance(error, (CantWrite, LeftAlone))
        ):
            give_back(*self._made)
        # a plain exception Hydra announces with a list of the overrides
        raise Refused from error

    def _own_folder(self, config: DictConfig) -> Path:
        folder = Path(config.hydra.run.dir)
        if config.resume is not None:
            check_resume(folder, config)
            return folder
        if config.get("run") is not None:
            _refuse_link_out(folder, Path(config.run))
        interrupts.hold_back()  # until its settings are recorded: before that it can't be gone on with
        claimed, above = claim_for(folder)
        self._made = claimed, above
        _say_how_to_go_on(config, claimed)
        return claimed


def _refuse_link_out(folder: Path, run: Path) -> None:
    """Raise CnnexpError where what a task leaves in a run's folder would lie elsewhere: it may be a stranger's."""
    led = folder.parent.resolve()
    if folder.absolute().is_relative_to(run.absolute()) and not led.is_relative_to(run.resolve()):
        raise CnnexpError(f"{folder.parent} is a link to {led}, outside of {run.name}; remove it to go on here")


def _say_how_to_go_on(config: DictConfig, folder: Path) -> None:
    where = os.path.relpath(folder)
    fit = config.hydra.runtime.choices.task == "fit"
    interrupts.last_words[:] = [
        f"go on with: python -m cnnexp resume={where}" if fit else f"what there is: {where}"
    ]


def claim_for(folder: Path) -> tuple[Path, list[Path]]:
    """Return a new folder, see `cnnexp.runs.claim`, and the folders above it that weren't there before.

    Raises CnnexpError where a file stands in the way.
    """
    above = [parent for parent in folder.absolute().parents if not parent.exists()]
    try:
        return claim(folder), above
    except FileExistsError:
        raise CnnexpError(f"{folder}: a part of this path is a file, not a folder") from None
    except OSError as error:
        raise CnnexpError(
            f"{folder} can't be made: {error.strerror}; name another place: hydra.run.dir=…"
        ) from None
