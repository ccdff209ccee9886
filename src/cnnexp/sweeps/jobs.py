"""One job of a sweep: announced, run, counted; its failure doesn't end the others."""

import contextlib
import logging

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cnnexp.command.check import check
from cnnexp.errors import CantWrite, CnnexpError, StopSweep
from cnnexp.job.job import run_job
from cnnexp.sweeps import sweep

log = logging.getLogger(__name__)


def run_job_of_sweep(config: DictConfig) -> float | None:
    """Do one of a sweep's jobs; one that fails says so in its own folder and lets the others go on.

    Returns the validation accuracy, which a search looks for the highest of; None where there is none, or the
    job failed.

    Raises:
        StopSweep: for a failure, where ``fail_fast`` asks for that or the disk is the reason.
        Interrupted: where a signal ended the job.
    """
    hydra, whole = HydraConfig.get(), sweep.current
    folder = hydra.runtime.output_dir
    name = folder.rpartition("/")[2]
    _quiet_terminal()

    def begin() -> None:
        if whole is not None:
            log.info("%s", whole.announce(name, hydra.job.num + 1))
        _check(config)

    result = None
    try:
        result = run_job(config, first=begin)
    except Exception as error:
        with contextlib.suppress(OSError):
            log.error("failed: %s", error)
        if config.fail_fast or isinstance(error, CantWrite):
            raise StopSweep from error
        return None
    finally:
        if whole is not None:
            whole.finished(name, result or {})
    accuracy = result[sweep.OBJECTIVE]
    if whole is not None and whole.workers > 1 and accuracy is not None:
        log.info("done: %s: val accuracy %.2f %%", name, 100 * accuracy)
    return accuracy


def _check(config: DictConfig) -> None:
    """Check a job as a single run is checked before it has a folder."""
    check(config)
    if HydraConfig.get().runtime.choices["task"] == "fit":
        from cnnexp.job.rehearse import rehearse

        if rehearse(config).world_size > 1:
            refuse_several()


def refuse_several() -> None:
    """Raise CnnexpError: a sweep's job can't be one of several processes."""
    raise CnnexpError(
        "a job of several processes can't be one of a sweep: each would start the whole sweep again.\n"
        "Type one run a command (without -m), or trainer.devices=1 trainer.num_nodes=1"
    )


def _quiet_terminal() -> None:
    """Keep a job's lines, except warnings, out of the terminal; its run.log has them all."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: record.name == __name__ or record.levelno >= logging.WARNING)
