"""What Hydra answers with a traceback, or takes without a word, although it can't be meant, as bare text."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnexp.errors import CnnexpError

SEVERAL = ("logger", "callbacks", "metrics")
"""Groups of which several choices may be taken at once."""

_OURS = {
    "hydra.output_subdir": "a run's record stands in .hydra, where resume= and run= look for it",
    "hydra.job.chdir": "relative paths always mean the folder that the command is typed in",
    "hydra/job_logging": "a run's log is part of its folder",
    "hydra.sweep.subdir": "each job gets a folder of its own, named by what is swept",
}


def check_typed(overrides: Sequence[str], folders: Iterable[Path]) -> None:
    """Raise CnnexpError for a group that is given no choice, or the same one twice, and for what is no override.

    Args:
        overrides: as they were typed.
        folders: where config files are: ours and the user's own.
    """
    folders = list(folders)
    if os.environ.get("LOCAL_RANK", "0") != "0":  # Lightning typed it, for another process of a job
        return
    for override in overrides:
        key, equals, value = (part.strip() for part in override.partition("="))
        key = key.lstrip("+~")
        if equals and not key:
            raise CnnexpError(f"can't read '{override}': an override is key=value")
        if key in _OURS:
            raise CnnexpError(f"{key} can't be set: {_OURS[key]}")
        if equals and not value and key in ("hydra.run.dir", "hydra.sweep.dir"):
            raise CnnexpError(f"{key}= names no folder")
        group = key.replace(".", "/")
        if equals and any((folder / group).is_dir() for folder in folders):
            _check_choice(group, value, override.startswith("~"))


def _check_choice(group: str, value: str, removed: bool) -> None:
    if group == "experiment" and value == "null":
        return
    if not removed and (re.fullmatch(r"|null|true|false|\{\s*\}", value, re.IGNORECASE) or _is_number(value)):
        hint = f"; {group}=none is none of them" if group in SEVERAL else ""
        raise CnnexpError(f"{group}={value} is no choice; type {group}=NAME, one that --help lists{hint}")
    listed = re.fullmatch(r"\[(.*)\]", value)
    if listed is None:
        return
    names = [name.strip() for name in listed[1].split(",")]
    if group.partition("/")[0] not in SEVERAL and not group.startswith("hydra"):
        raise CnnexpError(f"{group} takes one choice, not a list; type {group}={names[0] or 'NAME'}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CnnexpError(f"{group}={value} has {twice[0]} twice; once is enough")


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
