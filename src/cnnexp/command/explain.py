"""Hydra's and OmegaConf's exceptions in a line or two that say what to type."""

import contextlib
import difflib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import OmegaConf
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
        return f"can't read '{error.override}': {_how_to_type(str(error.override))}"
    if missing := re.match(r"Cannot find primary config '([^']*)'", text):
        return (
            f"--config-name={missing[1]}: there is no such file; leave it out, or name its folder by --config-dir"
        )
    return "\n".join(line for line in text.splitlines() if line.strip())[:600] or type(error).__name__


def _how_to_type(override: str) -> str:
    """Return what an override that can't be read lacks: quotes, in a form to copy, or another thing."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    key, _, value = override.partition("=")
    if value and not value.startswith(("[", "{")):
        escaped = value.strip("'\"").replace("\\", "\\\\").replace('"', '\\"')
        typed = f'{key}="{escaped}"'
        with contextlib.suppress(OverrideParseException):
            OverridesParser.create().parse_overrides([typed])
            return f"the value needs quotes within quotes; type {shlex.quote(typed)}"
    return "an override is key=value, lists as key=[1,2]"


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
    meant = (
        [] if parent is None or difflib.get_close_matches(key, allowed, n=1) else _meant(key, parent._get_root())
    )
    if meant:
        return f"{error.full_key}: no such key; did you mean {' or '.join(meant[:3])}?"
    return f"{error.full_key}: no such key{nearest(key, allowed, prefix)}"


def _meant(key: str, settings: Any) -> list[str]:
    """Return the settings, with their groups, whose own name is ``key``, or else ends with it."""
    paths = list(_paths(settings, ""))
    last = [path.rpartition(".")[2] for path in paths]
    same = [path for path, name in zip(paths, last, strict=True) if name == key]
    return same or [path for path, name in zip(paths, last, strict=True) if name.endswith(f"_{key}")]


def _paths(node: Any, path: str) -> Iterator[str]:
    if not OmegaConf.is_dict(node):
        yield path
        return
    for name in node:
        if path or name != "hydra":
            yield from _paths(node._get_node(name), f"{path}.{name}" if path else str(name))


ANSWERED = (HydraException, OmegaConfBaseException)
