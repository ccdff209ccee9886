"""What a sweep is asked beside its jobs: a baseline, whether test numbers are shown, whether it goes on."""

from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from cnnexp.command.recorded import OF_A_SWEEP
from cnnexp.errors import CnnexpError
from cnnexp.reports.baseline import as_list, named, typed_value

SEEDS = ("seed", "data.seed")


def check_asked(config: DictConfig, overrides: Sequence[Override], jobs: Sequence[Sequence[str]] | None) -> None:
    """Raise CnnexpError for what a sweep is asked that it can't answer.

    Args:
        config: the sweep's settings.
        overrides: as they were typed.
        jobs: each job's overrides; None for a search.
    """
    task = config.hydra.runtime.choices.task
    for override in overrides:
        key = override.key_or_group.partition(".")[0]
        if key in (*OF_A_SWEEP, "name", "fail_fast", "stop_after_epoch") and override.is_sweep_override():
            raise CnnexpError(f"{override.key_or_group} is of the whole sweep: give it one value")
        if key in OF_A_SWEEP and task != "fit":
            raise CnnexpError(f"{key}= is of sweeps that train, and this one is of task={task}; leave it out")
    typed = [override.key_or_group for override in overrides if override.key_or_group.startswith("settle.")]
    if settles(config):
        _check_settling(config, jobs)
    elif typed:
        raise CnnexpError(f"{typed[-1]} changes nothing without settle=true")
    if baseline := as_list(config.get("baseline")):
        if jobs is None:
            raise CnnexpError(
                "baseline= names one of a grid's configurations, and a search chooses its own; leave it out, or "
                "name it afterwards: task=report run=outputs/sweeps/… baseline=…"
            )
        named(baseline, configurations(jobs))


def halves(config: DictConfig) -> bool:
    """Return whether a sweep stops what isn't among the best, and goes on with the rest."""
    return str(config.hydra.sweeper._target_).endswith(".CnnexpHalvingSweeper")


def settles(config: DictConfig) -> bool:
    """Return whether a sweep goes on with further seeds."""
    return bool(config.get("settle", {}).get("enabled"))


def _check_settling(config: DictConfig, jobs: Sequence[Sequence[str]] | None) -> None:
    if jobs is None:
        raise CnnexpError("settle=true adds seeds to a grid's configurations, and a search chooses its own")
    settings = [settings_of_job(job) for job in jobs]
    seeds = {one.get("seed") for one in settings}
    if len(seeds) < 2 or len({one.get("data.seed") for one in settings}) > 1:
        raise CnnexpError("settle=true adds seeds to those that are swept: type seed=0,1,2, and no data.seed")
    if len(configurations(jobs)) < 2:
        raise CnnexpError("settle=true compares configurations, and there is one; sweep something beside seed")
    most = config.settle.max_seeds
    if isinstance(most, int) and most <= len(seeds):
        raise CnnexpError(f"settle.max_seeds={most} leaves no further seeds: {len(seeds)} are swept already")


def settings_of_job(overrides: Sequence[str]) -> dict[str, str]:
    """Return a job's overrides as keys and values, as they were typed."""
    return dict(override.lstrip("+~").split("=", 1) for override in overrides if "=" in override)


def configurations(jobs: Sequence[Sequence[str]]) -> list[dict[str, object]]:
    """Return the swept settings of each of a grid's configurations; jobs that differ in their seeds are one."""
    settings = [settings_of_job(job) for job in jobs]
    keys = [key for key in settings[0] if key not in SEEDS and len({one.get(key) for one in settings}) > 1]
    found = {tuple(one[key] for key in keys): one for one in settings}
    return [{key.replace("/", "."): typed_value(one[key]) for key in keys} for one in found.values()]
