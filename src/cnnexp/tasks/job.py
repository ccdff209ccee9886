"""One job from its start to its end: its lock, its log, its result.json, and what becomes of an error."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cnnexp import runs
from cnnexp.command import ranks, sweep
from cnnexp.command.check import check
from cnnexp.errors import CnnexpError, Refused, StopSweep
from cnnexp.interrupts import Interrupted

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
        """Put values into result.json at once, so that they outlive what comes after."""
        self.result |= values
        if self.writes:
            runs.write_json(self.folder / runs.RESULT, self.result)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as plain dicts, lists, numbers and strings."""
        plain = OmegaConf.to_container(self.config, resolve=True)
        assert isinstance(plain, dict)
        return {str(key): value for key, value in plain.items()}


def run_job(config: DictConfig) -> None:
    """Do the task that the settings name, in the folder that Hydra was given for it.

    A job of a sweep that fails says so in its own folder and lets the others go on; a single job raises.
    """
    hydra = HydraConfig.get()
    in_sweep = hydra.mode == RunMode.MULTIRUN
    whole = sweep.current
    job = Job(config, dict(hydra.runtime.choices), Path(hydra.runtime.output_dir), writes=ranks.is_first())
    if job.choices["task"] != "fit":
        ranks.use_one_process(config)
    with runs.held(job.folder) if job.writes else contextlib.nullcontext():
        # what was measured before stays until there is something newer
        known = (runs.read_json(job.folder / runs.RESULT) or {}) if config.resume is not None else {}
        job.result = {**dict.fromkeys(NUMBERS), **known}
        job.record(
            status="running",
            error=None,
            task=job.choices["task"],
            model=job.choices["model"],
            data=job.choices["data"],
            seed=config.seed,
            **runs.origin(),
            config_hash=runs.config_hash(job.settings),
        )
        try:
            if in_sweep:
                _quiet_terminal()
                if whole is not None:
                    log.info("%s", whole.announce(job.folder.name))
                if whole is None or whole.jobs is None:  # all others were checked before they got a folder
                    check(config)
            instantiate(config.task)(job)
        except (Interrupted, KeyboardInterrupt):
            job.record(status="interrupted")
            raise
        except Exception as error:
            job.record(status="failed", error=f"{type(error).__name__}: {error}")
            # to the log file only: what ends a single job is shown as its process ends
            _log_to_file(error)
            if in_sweep:
                log.error("failed: %s", error)
                if config.fail_fast:
                    raise StopSweep from error
            elif isinstance(error, CnnexpError):
                raise Refused from error
            else:
                raise
        else:
            job.record(status="completed")
        finally:
            if whole is not None:
                whole.finished(job.folder.name, job.result)


def _quiet_terminal() -> None:
    """Leave the terminal to the sweep: a job's own lines go to its run.log, warnings to both."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: record.name == __name__ or record.levelno >= logging.WARNING)


def _log_to_file(error: Exception) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            record = log.makeRecord(
                log.name, logging.ERROR, __file__, 0, "failed", (), (type(error), error, error.__traceback__)
            )
            handler.handle(record)
