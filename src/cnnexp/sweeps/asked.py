"""What a sweep is asked beside its jobs: a baseline, and whether test numbers are shown."""

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
    for override in overrides:
        if override.key_or_group.partition(".")[0] in (*OF_A_SWEEP, "name", "fail_fast"):
            if override.is_sweep_override():
                raise CnnexpError(f"{override.key_or_group} is of the whole sweep: give it one value")
            task = config.hydra.runtime.choices.task
            if task != "fit" and override.key_or_group in OF_A_SWEEP:
                raise CnnexpError(
                    f"{override.key_or_group}= is of sweeps that train, and this one is of task={task}"
                )
    if baseline := as_list(config.get("baseline")):
        if jobs is None:
            raise CnnexpError(
                "baseline= names one of a grid's configurations, and a search chooses its own; leave it out, or "
                "name it afterwards: task=report run=outputs/sweeps/… baseline=…"
            )
        named(baseline, configurations(jobs))


def configurations(jobs: Sequence[Sequence[str]]) -> list[dict[str, object]]:
    """Return the swept settings of each of a grid's configurations; jobs that differ in their seeds are one."""
    settings = [dict(override.lstrip("+~").split("=", 1) for override in job if "=" in override) for job in jobs]
    keys = [key for key in settings[0] if key not in SEEDS and len({one.get(key) for one in settings}) > 1]
    found = {tuple(one[key] for key in keys): one for one in settings}
    return [{key.replace("/", "."): typed_value(one[key]) for key in keys} for one in found.values()]
