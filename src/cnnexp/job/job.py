"""One job from start to end: its lock, its result.json, and how errors are recorded."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cnnexp import interrupts, runs
from cnnexp.command.call import instantiate
from cnnexp.disk import cant_write, quiet_threads, reserve
from cnnexp.errors import CnnexpError, LeftAlone, Stopped
from cnnexp.interrupts import Interrupted
from cnnexp.job import ranks
from cnnexp.job.run_log import quiet_lightning

log = logging.getLogger(__name__)

NUMBERS = (
    "epochs", "best_epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss",
    "test_accuracy", "generalization_gap", "parameters", "train_seconds", "samples_per_second", "device",
)  # fmt: skip


@dataclass
class Job:
    """What a task gets: its settings, the names of the choices behind them, and the folder it may write.

    Of several processes of one job only the first may write (``writes``).
    """

    config: DictConfig
    choices: Mapping[str, Any]
    folder: Path
    result: dict[str, Any] = field(default_factory=dict)
    writes: bool = True

    def record(self, **values: Any) -> None:
        """Write values into result.json at once, so that a later failure can't lose them."""
        self.result |= values
        if self.writes:
            runs.write_json(self.folder / runs.RESULT, self.result)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as plain dicts, lists, numbers and strings."""
        plain = OmegaConf.to_container(self.config, resolve=True)
        assert isinstance(plain, dict)
        return {str(key): value for key, value in plain.items()}


def run_job(config: DictConfig, first: Callable[[], object] | None = None) -> dict[str, Any]:
    """Do the task that the settings name, in the folder that Hydra was given for it, and return its result.json.

    However the task ends, the folder says so.

    Args:
        config: the job's settings.
        first: called before the task; what it raises is told as the task's own failure.

    Raises:
        CnnexpError: for a mistake, or a disk that can't be written.
        Exception: for a bug.
        Interrupted: where a signal ended the task.
    """
    hydra = HydraConfig.get()
    job = Job(config, dict(hydra.runtime.choices), Path(hydra.runtime.output_dir), writes=ranks.is_first())
    if job.choices["task"] != "fit":
        ranks.use_one_process(config)
    with _kept_from_others(job) as room:
        # a resumed run keeps its earlier numbers until there are newer ones
        known = (runs.read_json(job.folder / runs.RESULT) or {}) if config.resume is not None else {}
        known.pop(runs.STOPPED, None)
        job.result = {**dict.fromkeys(NUMBERS), **known}
        code, diff = runs.origin()
        job.record(
            status="running",
            error=None,
            task=job.choices["task"],
            model=job.choices["model"],
            data=job.choices["data"],
            seed=config.seed,
            **code,
            config_hash=runs.config_hash(job.settings),
        )
        if job.writes:
            runs.write_diff(job.folder, diff)
        try:
            interrupts.let_through()
            if first is not None:
                first()
            with quiet_threads():
                task = instantiate(config.task)
                quiet_lightning()  # after Lightning's import with the task, which sets its own level
                task(job)
        except (Interrupted, KeyboardInterrupt):
            job.record(status="interrupted")
            raise
        except Stopped as stopped:
            job.record(status="interrupted", **{runs.STOPPED: stopped.epoch})
            where = os.path.relpath(job.folder)
            log.info("%s, as asked; go on with: python -m cnnexp resume=%s", stopped, where)
            return job.result
        except Exception as raised:
            if (number := interrupts.received()) is not None:  # what a library made of the interruption
                job.record(status="interrupted")
                raise Interrupted(number) from raised
            if ranks.is_broken(raised):
                raise _left_alone(job) from raised
            error = _told(raised, job, Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else job.folder)
            with contextlib.suppress(OSError):  # the error is shown even where it can't be written
                if room is not None:
                    room.unlink(missing_ok=True)
                job.record(status="failed", error=f"{type(error).__name__}: {error}")
                # to the log file only: the command shows it in the terminal
                _log_to_file(raised)
            if error is raised:
                raise
            raise error from raised
        job.record(status="completed")
    return job.result


def _left_alone(job: Job) -> CnnexpError:
    """Note that a run is interrupted because one of its processes is gone, and return what to say of it."""
    if job.writes:
        job.record(status="interrupted")
    else:
        # the first process may be the one that is gone, and can't say so
        with contextlib.suppress(CnnexpError, OSError), runs.held(job.folder):
            if result := runs.read_json(job.folder / runs.RESULT):
                runs.write_json(job.folder / runs.RESULT, {**result, "status": "interrupted"})
    where = os.path.relpath(job.folder)
    return LeftAlone(
        f"another of the run's processes is gone: was it killed, for its memory perhaps?\n"
        f"go on with: python -m cnnexp resume={where}"
    )


def _told(error: Exception, job: Job, whole: Path) -> Exception:
    """Return an error as it is shown: what the disk refused says what to do about it.

    Args:
        error: what ended the job.
        job: the job.
        whole: the folder to go on with: the job's, or that of the sweep it belongs to.
    """
    if isinstance(error, CnnexpError):
        return error
    again = f"python -m cnnexp resume={os.path.relpath(whole)}" if job.choices["task"] == "fit" else ""
    return cant_write(error, job.folder, again) or error


@contextlib.contextmanager
def _kept_from_others(job: Job) -> Iterator[Path | None]:
    """Hold the folder's lock and the file that reserves room on the disk, in the process that writes."""
    if not job.writes:
        yield None
        return
    with runs.held(job.folder), reserve(job.folder / ".hydra") as room:
        yield room


def _log_to_file(error: Exception) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            record = log.makeRecord(
                log.name, logging.ERROR, __file__, 0, "failed", (), (type(error), error, error.__traceback__)
            )
            handler.handle(record)
