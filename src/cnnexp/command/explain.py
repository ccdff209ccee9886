"""Hydra's and OmegaConf's exceptions in a line or two that say what to type."""

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

# choices that come with a plugin of Hydra's, and the extra that installs it
EXTRAS = {
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/submitit_local": "slurm",
}


def nearest(key: str, allowed: Iterable[str], prefix: str = "") -> str:
    """Return `` ; did you mean …?`` with the allowed key most like ``key``, or the list of what is allowed."""
    names = [name for name in allowed if not name.startswith("_") and name != "self"]
    close = difflib.get_close_matches(key, names, n=1)
    if close:
        return f"; did you mean {prefix}{close[0]}?"
    return f"; allowed: {', '.join(sorted(names))}" if names else ""


def explain(error: BaseException) -> str:
    """Return what a Hydra or OmegaConf exception means to the person who typed the command."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for part in chain:
        if isinstance(part, OmegaConfBaseException) and part.full_key:
            text = _unknown_key(part)
            if text:
                return text
    text = str(error)
    plugin = re.search(r"Could not (?:find|load) '([^']+)'", text)
    if plugin and plugin[1] in EXTRAS:
        extra = EXTRAS[plugin[1]]
        group, _, choice = plugin[1].rpartition("/")
        return f'{group}={choice}: its plugin isn\'t installed; type: pip install "cnnexp[{extra}]"'
    option = re.search(r"Could not find '(\S+)/([^/']+)'\s+Available options in '[^']+':((?:\n\t\S+)*)", text)
    if option:
        group, wrong, listed = option.groups()
        return _unknown_choice(group, wrong, listed.split(), f"{group}=%s")
    unloaded = re.search(r"Could not load '([^'/]+)/([^']+)'", text)
    if unloaded:
        group, wrong = unloaded.groups()
        folders = [Path(folder) / group for folder in re.findall(r"path=file://(\S+)", text)]
        names = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
        # a group that takes a list of choices
        return _unknown_choice(group, wrong, names, f"{group}=[%s]")
    group_key = re.search(r"Could not override '([^']+)'\.\s+No match in the defaults list", text)
    if group_key:
        return f"{group_key[1]}: no such config group"
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        place = re.search(r"^full_key: (\S+)", text, re.MULTILINE)
        target = re.search(r"target '([^']+)'", text)
        where = place[1] if place else target[1].rpartition(".")[2] if target else "settings"
        return f"{where}: {' '.join(str(error.__cause__).split())}"
    if isinstance(error, OverrideParseException):
        return f"can't read '{error.override}': an override is key=value, lists as key=[1,2]"
    return "\n".join(line for line in text.splitlines() if line.strip())[:600] or type(error).__name__


def _unknown_choice(group: str, wrong: str, there: Sequence[str], typed: str) -> str:
    names = [name for name in there if not name.startswith("_")]
    close = difflib.get_close_matches(wrong, names, n=1)
    hint = f"did you mean {typed % close[0]}? " if close else ""
    kind = group.rpartition("/")[2]
    kind = kind if kind.endswith("ss") else kind.removesuffix("s")
    return f"{typed % wrong}: there is no such {kind}; {hint}Allowed: {', '.join(names)}"


def _unknown_key(error: OmegaConfBaseException) -> str | None:
    if "is not in struct" not in str(error.msg):
        return None
    key = str(error.key)
    parent = error.parent_node
    prefix, _, _ = str(error.full_key).rpartition(".")
    prefix = f"{prefix}." if prefix else ""
    allowed = [str(k) for k in parent] if parent is not None else []
    return f"{error.full_key}: no such key{nearest(key, allowed, prefix)}"


ANSWERED = (HydraException, OmegaConfBaseException)
