"""The jobs of a sweep over a grid: which there are, and whether each is valid."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from cnnexp.command.check import check
from cnnexp.errors import CnnexpError
from cnnexp.job.ranks import asks_for_several
from cnnexp.sweeps.jobs import refuse_several

log = logging.getLogger(__name__)

_OF_A_GRID = ("CnnexpSweeper", "CnnexpHalvingSweeper", "BasicSweeper")


def jobs_of(config: DictConfig, loader: Any) -> list[list[str]] | None:
    """Return the overrides of each job of a sweep over a grid; None for sweepers that choose as they go."""
    if config.hydra.sweeper._target_.rpartition(".")[2] not in _OF_A_GRID:
        return None
    swept = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*swept, *config.hydra.overrides.task])
    try:
        [jobs] = BasicSweeper.split_arguments(parsed, None)
    except ValueError as error:  # a range whose step is 0
        raise CnnexpError(f"the sweep has no jobs: {error}") from None
    if not jobs:
        empty = [override.input_line for override in parsed if override.is_sweep_override()]
        raise CnnexpError(f"the sweep has no jobs: {', '.join(map(str, empty))} has no values")
    return jobs


def check_jobs(config: DictConfig, jobs: Sequence[Sequence[str]] | None, loader: Any) -> None:
    """Compose and check the jobs of a sweep; raises what is wrong with the first invalid job.

    Composing takes a tenth of a second, so of the jobs that choose the same of each config group only as many are
    composed as it takes to see each value once. What only two values together get wrong, the job itself says.
    """

    @functools.cache  # looking through folders takes time
    def is_group(key: str) -> bool:
        return bool(loader.get_group_options(key))

    seen: set[tuple[tuple[str, ...], str]] = set()
    have: set[tuple[str, ...]] = set()
    # on a cluster the data may be where the jobs are, and not here
    elsewhere = "submitit" in config.hydra.launcher._target_
    for job in jobs or ():
        choices = tuple(override for override in job if is_group(override.partition("=")[0].lstrip("+~")))
        new = {(choices, override) for override in ("", *job)} - seen
        if new:
            composed = loader.load_sweep_config(config, list(job))
            check(composed)
            if composed.hydra.runtime.choices.task == "fit" and asks_for_several(composed.trainer):
                refuse_several()
            seen |= new
            where = (composed.hydra.runtime.choices.data, str(composed.data.get("root")), str(composed.logger))
            if where not in have and not elsewhere and composed.hydra.runtime.choices.task == "fit":
                _have_data_and_servers(composed)
            have.add(where)


def _have_data_and_servers(config: DictConfig) -> None:
    """Download or read what a job trains on; raises CnnexpError where that, or a tracker's server, isn't there.

    Once, not for each job.
    """
    from cnnexp.job.build import build_data
    from cnnexp.job.loggers import check_servers

    check_servers(config.logger)
    try:
        build_data(config).prepare_data()
    except CnnexpError:
        raise
    except Exception as error:  # of somebody's own data: the job tells, in its folder
        log.debug("not read beforehand: %s", error)
