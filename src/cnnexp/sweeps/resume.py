"""A sweep that is resumed: the command that started it, what is left of its jobs, and how each goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnnexp.command.arguments import Typed, quoted
from cnnexp.command.recorded import changed_since
from cnnexp.command.resolvers import job_folder
from cnnexp.command.targets import refuse_strange_overrides, trusted_by
from cnnexp.errors import CnnexpError, first_line
from cnnexp.records import checked, refuse_links
from cnnexp.runs import RESULT, read_result
from cnnexp.sweeps import sweep
from cnnexp.sweeps.slurm import OURS


def left_to_do(jobs: Sequence[Sequence[str]], config: DictConfig, loader: Any) -> Sequence[Sequence[str]]:
    """Return the jobs to run: of a resumed sweep those that aren't complete, of a new one all.

    Composing a job's settings takes a tenth of a second. Of the complete ones only as many are composed, to be
    compared with their records, as it takes to see each value of each key once.

    Raises CnnexpError where a job's settings are no longer those that it was started with.
    """
    current = sweep.current
    if current is None or not current.resumed:
        return jobs
    left: list[Sequence[str]] = []
    compared: set[str] = set()
    for job in jobs:
        folder = current.folder / folder_name(config, job)
        if compared.issuperset(job) and go_on(folder) is None:
            continue
        again = again_in(folder, loader.load_sweep_config(config, list(job)))
        if again is not None:
            left.append([*job, *again])
        if has_record(folder):  # otherwise there was nothing to compare with
            compared.update(job)
    current.jobs = None if current.jobs is None else len(left)
    return left


def again_in(folder: Path, composed: DictConfig) -> list[str] | None:
    """Return the further overrides that make a job go on in its folder; None if it is complete.

    Raises CnnexpError where the job's settings are no longer those that it was started with.
    """
    changed = changed_since(folder, composed) if has_record(folder) else []
    if changed:
        raise CnnexpError(
            f"{folder.name} was started with another {', '.join(changed)}; start a new sweep for that"
        )
    more = go_on(folder)
    # name the folder: an existing one would count as taken
    return [f"hydra.sweep.subdir={quoted(folder.name)}", *more] if more is not None and folder.is_dir() else more


def folder_name(config: DictConfig, overrides: Sequence[str]) -> str:
    """Return the name of a job's folder, as its composed settings have it: from what is swept.

    Args:
        config: the sweep's settings, once it has begun.
        overrides: the job's.
    """
    parsed = [
        one for one in OverridesParser.create().parse_overrides(list(overrides)) if not one.is_hydra_override()
    ]
    settings = config.hydra.job.config.override_dirname
    lines = [str(one.input_line) for one in parsed if one.key_or_group not in settings.exclude_keys]
    # as Hydra puts them together for hydra.job.override_dirname
    return job_folder(settings.item_sep.join(sorted(lines)).replace("=", settings.kv_sep))


def has_record(folder: Path) -> bool:
    """Return whether a job wrote its record and result.json; without both there is nothing to go on from."""
    # Hydra's record alone may be half written
    return (folder / RESULT).is_file() and (folder / ".hydra" / "config.yaml").is_file()


def go_on(folder: Path) -> list[str] | None:
    """Return the overrides that make a job go on in its folder: none before its first start, None if complete."""
    if not has_record(folder):
        return []
    if (read_result(folder) or {}).get("status") == "completed":
        return None
    return [f"resume={quoted(str(folder))}", "hydra.output_subdir=null"]


def arguments_of(folder: Path, typed: Typed) -> list[str]:
    """Return the command that started a sweep, with what is typed now beside it.

    Raises CnnexpError where the sweep's record can't be read, or has in it what a stranger's could do harm by.
    """
    try:
        record: Any = OmegaConf.to_container(OmegaConf.load(checked(folder / "multirun.yaml")), resolve=False)
        recorded = record["hydra"]["overrides"]
        both = [*recorded["hydra"], *recorded["task"]]
    except (OSError, YAMLError, OmegaConfBaseException, ValueError, KeyError, TypeError) as error:
        raise CnnexpError(f"resume={folder}: its record can't be read: {first_line(error)}") from None
    ours = (
        "hydra.sweep.dir=", "hydra.job.config.override_dirname.exclude_keys=", "hydra.mode=",
        f"hydra.launcher._target_={OURS}",
    )  # fmt: skip
    both = [override for override in both if not (isinstance(override, str) and override.startswith(ours))]
    for part in ("launcher", "sweeper"):
        if typed.chooses(f"hydra/{part}"):  # the recorded keys are those of the old one
            both = [
                override for override in both if not str(override).startswith((f"hydra/{part}", f"hydra.{part}."))
            ]
    if typed.value("hydra.sweeper.storage") is not None:
        both = [override for override in both if not str(override).startswith("hydra.sweeper.storage=")]
    refuse_strange_overrides(both, f"resume={folder}", trusted_by(typed))
    refuse_links(folder)
    rest = [
        argument
        for argument in typed.arguments
        if not argument.startswith("resume=") and argument not in ("-m", "--")
    ]
    # last, because the last of two overrides of a key counts
    return ["-m", *both, *rest]
