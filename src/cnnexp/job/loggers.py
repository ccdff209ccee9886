"""The loggers that ``conf/logger`` names: built for a run's folder, begun, and ended with its status."""

import inspect
import os
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from lightning.pytorch.loggers import CometLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig

from cnnexp.command.call import instantiate
from cnnexp.errors import CnnexpError, first_line
from cnnexp.runs import leaves
from cnnexp.training.loggers import Status, TensorBoardLogger

_ENVIRONMENT = {
    "COMET_START_ONLINE": "false",  # Lightning's own online=False would write nothing at all
    "COMET_LOGGING_CONSOLE": "CRITICAL",  # what it raises is told, without its traceback
    "COMET_ERROR_TRACKING_ENABLE": "false",  # to the makers of the package, over the network
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # otherwise minutes go by before a server that isn't there is told
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""What the trackers' packages read as they are imported, unless the user has set it."""

_SECONDS_TO_ANSWER = 5
LONGEST = 300
"""Characters of what a tracker's package says."""


def check_servers(nodes: DictConfig) -> None:
    """Raise CnnexpError where a tracker is to write to a server that can't be reached, before anything is begun.

    Their packages try for minutes, and say it in pages. Behind a proxy they are left to find out.
    """
    for key, node in nodes.items():
        online = node.get("mode", "online") == "online" and node.get("online") is not False
        for name, address in leaves(node):
            if not online or getproxies() or not str(address).startswith(("http://", "https://")):
                continue
            try:
                server = urlsplit(str(address))
                port = server.port or {"http": 80, "https": 443}[server.scheme]
                socket.create_connection((server.hostname or "", port), _SECONDS_TO_ANSWER).close()
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                told = f"logger.{key!s}.{name}={address} can't be reached ({why})"
                raise CnnexpError(f"{told}; start that server, or type another address") from None


def build_loggers(nodes: DictConfig, folder: Path) -> list[Logger]:
    """Return the configured loggers of the run in ``folder``; raises CnnexpError for one that can't be built.

    A partial one gets its folder, the run's name and the sweep's as far as it takes them and the settings leave
    them null. A run is called by its folder and the one above it, ``cnn-digits/2026-01-31_12-00-00``; a job of a
    sweep by one folder more, ``adhoc/2026-01-31_12-00-00/seed-0``.
    """
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    in_sweep = (folder.parent / "multirun.yaml").is_file()
    parts = folder.absolute().parts[-3 if in_sweep else -2 :]
    title, sweep = "/".join(parts), "/".join(parts[:-1]) if in_sweep else None
    loggers = []
    for key, node in nodes.items():
        name = str(key)
        own = folder / name
        known = {
            "folder": own, "save_dir": folder, "offline_directory": str(own),
            "name": title, "run_name": title, "group": sweep,
        }  # fmt: skip
        try:
            logger = instantiate(node, _convert_="all")
            if isinstance(logger, partial):
                takes = {**inspect.signature(logger.func).parameters, **logger.keywords}
                unset = [key for key in known if key in takes and logger.keywords.get(key) is None]
                logger = logger(**{key: known[key] for key in unset})
        except Exception as error:  # each tracker raises its own
            raise _refused(name, error) from error
        loggers.append(logger)
    return loggers


def begin(
    loggers: Sequence[Logger],
    hyperparameters: dict[str, Any],
    settings: str,
    behind: Sequence[Mapping[str, float]] | None,
) -> None:
    """Tell loggers of a run, and, where it is resumed, of the epochs ``behind`` it.

    Lightning's loggers begin a run of their own each time, so that a resumed run is told them all again.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            if behind is not None:
                logger.start_again(behind)
            logger.log_hyperparams(hyperparameters)
            logger.log_settings(settings)
            continue
        try:
            _log_hyperparams(logger, hyperparameters)
        except Exception as error:  # of a server that doesn't answer, for one
            name = type(logger).__name__.removesuffix("Logger").lower()
            raise _refused(name, error) from error
        for row in behind or ():
            logger.log_metrics({key: row[key] for key in row if key != "epoch"}, int(row["epoch"]))


def _refused(name: str, error: Exception) -> CnnexpError:
    """Return a tracker's own error in a line, however much it says."""
    if isinstance(error, ModuleNotFoundError):
        return CnnexpError(
            f"logger.{name}: the package {error.name} is needed; install it, or type another address"
        )
    said = shorten(first_line(error), LONGEST, placeholder=" …")
    return CnnexpError(f"logger.{name}: {said.rstrip('.')};\ntype other settings of logger.{name}, or logger=none")


def _log_hyperparams(logger: Logger, hyperparameters: dict[str, Any]) -> None:
    try:
        logger.log_hyperparams(hyperparameters)
    except Exception as error:
        # jobs that start together each create MLflow's experiment where there is none: the second try finds it
        if getattr(error, "error_code", None) != "RESOURCE_ALREADY_EXISTS":
            raise
        logger.log_hyperparams(hyperparameters)


def end(loggers: Sequence[Logger], status: Status) -> None:
    """End a run for its loggers; Lightning's leave it open, and the next job of this process would add to it."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.close()
            continue
        logger.finalize({"completed": "success", "interrupted": "KILLED"}.get(status, "failed"))
        if isinstance(logger, WandbLogger):
            import wandb

            wandb.finish(exit_code=0 if status == "completed" else 1)
        elif isinstance(logger, CometLogger):
            logger.experiment.log_other("status", status)
            logger.experiment.end()
