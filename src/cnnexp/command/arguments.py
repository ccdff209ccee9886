"""What was typed, put into the order that Hydra's parser reads."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from cnnexp.command.resolvers import config_folder
from cnnexp.errors import CnnexpError

_COMPLETION = ("-sc", "--shell-completion")


def as_hydra_reads(arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments as Hydra's parser reads them.

    Flags come first. A choice may be typed with a dot where Hydra has a slash: ``model.loss=focal`` is
    ``model/loss=focal``. Where a ``_target_`` is typed, the keys beside it are that constructor's arguments, which
    no config file could list: they need no ``+``, and are checked against its signature.
    """
    ordered = flags_first(arguments)
    if any(flag in ordered for flag in _COMPLETION):
        return ordered
    parsed = get_args_parser().parse_args(ordered)
    overrides = parsed.overrides
    folders = [config_folder(), *(Path(folder) for folder in (parsed.config_dir, parsed.config_path) if folder)]
    named = {key.rpartition(".")[0] for key in map(_key, overrides) if key.endswith("._target_")}
    flags = ordered[: len(ordered) - len(overrides)]
    return [*flags, *(_completed(override, folders, named) for override in overrides)]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _completed(override: str, folders: Iterable[Path], named: Iterable[str]) -> str:
    key, equals, value = override.partition("=")
    if not key[:1].isalpha() or not equals or key.startswith("hydra"):
        return override
    group = key.replace(".", "/")
    if group != key and any((folder / group).is_dir() for folder in folders):
        return f"{group}={value}"
    begun = key.rpartition(".")[0]
    new = any(begun == name or begun.startswith(f"{name}.") for name in named)
    known = any((folder / key.partition(".")[0]).is_dir() for folder in folders)
    return f"++{override}" if new and known else override


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Move the flags, with their values, before the overrides: ``experiment=x -m seed=0,1`` is fine too."""
    takes_value = {
        name: action.nargs
        for action in get_args_parser()._actions
        for name in action.option_strings
        if not isinstance(action, (argparse._StoreTrueAction, argparse._VersionAction))
    }
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":  # added again below
            continue
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        flags.append(argument)
        if argument in takes_value and rest:
            optional = takes_value[argument] == "?"
            if not optional or not (rest[0].startswith("-") or "=" in rest[0]):
                flags.append(rest.pop(0))
    # completion reads the whole line, and would complete the separator
    completes = any(flag in flags for flag in _COMPLETION)
    separator = ["--"] if flags and overrides and not completes else []
    return [*flags, *separator, *overrides]


def check_flags(flags: Sequence[str]) -> None:
    """Raise a CnnexpError for flags that Hydra answers with a traceback, or by loading a pickle."""
    given = set(flags)
    if "--experimental-rerun" in given:
        raise CnnexpError("--experimental-rerun would load a pickle; run=RUN task=fit runs a recorded run again")
    modes = [name for name in ("--run", "-r", "--multirun", "-m", "--cfg", "-c", "--info", "-i") if name in given]
    if len(modes) > 1:
        raise CnnexpError(f"{' and '.join(modes)} exclude each other; give one of them")
    if "--resolve" in given and not given & {"--cfg", "-c", "--help", "-h"}:
        raise CnnexpError("--resolve goes with --cfg job")


def value_of(key: str, arguments: Sequence[str]) -> str | None:
    """Return the value that an override gives to ``key``, None where there is none. Of several the last counts."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    found = [argument for argument in arguments if argument.lstrip("+").startswith(f"{key}=")]
    if not found:
        return None
    override = OverridesParser.create().parse_overrides([found[-1]])[0]
    if override.is_sweep_override():
        raise CnnexpError(f"{key} can't be swept over; give one value")
    value = override.value()
    return None if value is None else str(value)


def quoted(text: str) -> str:
    """Return a text as Hydra's override grammar quotes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
