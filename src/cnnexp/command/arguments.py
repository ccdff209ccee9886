"""What was typed, put into the order that Hydra's parser reads."""

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from cnnexp.command.choices import check_typed
from cnnexp.command.resolvers import config_folder
from cnnexp.command.studies import is_study
from cnnexp.errors import CnnexpError


@dataclass(frozen=True)
class Typed:
    """A command's arguments, read once.

    Attributes:
        arguments: all of them as Hydra's parser reads them, flags first.
        parsed: what that parser makes of them.
        overrides: those that set something, such as ``seed=1``.
        folders: with config files of the user's own.
    """

    arguments: list[str]
    parsed: argparse.Namespace
    overrides: list[str]
    folders: list[Path]

    def value(self, key: str) -> str | None:
        """Return the value that an override gives to ``key``, see `value_of`."""
        return value_of(key, self.overrides)

    def chooses(self, group: str) -> bool:
        """Return whether a config group's choice is among the overrides."""
        return any(override.startswith(f"{group}=") for override in self.overrides)


def read(arguments: Sequence[str]) -> Typed:
    """Read a command's arguments, those after the program's name.

    Flags may stand anywhere. A choice may be typed with a dot where Hydra has a slash: ``model.loss=focal`` is
    ``model/loss=focal``. Where a ``_target_`` is typed, the keys beside it are that constructor's arguments, which
    no config file could list: they need no ``+``, and are checked against its signature.

    Raises CnnexpError for flags that are unknown or exclude each other, and for what `check_typed` refuses.
    """
    _check_flags(arguments)
    ordered = flags_first(arguments)
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse's prints how all flags are used, and exits
    parsed = parser.parse_args(ordered)
    if parsed.shell_completion and not re.match("(un)?install=|query=", "".join(parsed.overrides[:1])):
        raise CnnexpError(
            "--shell-completion goes with install=SHELL, uninstall=SHELL or query=SHELL, such as bash"
        )
    folders = [Path(folder) for folder in (parsed.config_dir, parsed.config_path) if folder]
    if not parsed.shell_completion:
        named = {key.rpartition(".")[0] for key in map(_key, parsed.overrides) if key.endswith("._target_")}
        everywhere = [config_folder(), *folders]
        check_typed(parsed.overrides, everywhere)
        parsed.overrides = [_completed(override, everywhere, named) for override in parsed.overrides]
        parsed.multirun = parsed.multirun or _is_study(parsed, everywhere)
    return Typed(
        [*ordered[: len(ordered) - len(parsed.overrides)], *parsed.overrides], parsed, parsed.overrides, folders
    )


def _is_study(parsed: argparse.Namespace, folders: Iterable[Path]) -> bool:
    asked = parsed.run or parsed.cfg or parsed.info or parsed.help or parsed.hydra_help
    if asked or any(_key(override) == "hydra.mode" for override in parsed.overrides):
        return False
    chosen = [override.partition("=")[2] for override in parsed.overrides if _key(override) == "experiment"]
    return bool(chosen) and is_study(chosen[-1], folders)


def _refuse(message: str) -> NoReturn:
    raise CnnexpError(message)


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _completed(override: str, folders: Iterable[Path], named: Iterable[str]) -> str:
    key, equals, value = override.partition("=")
    if key == "baseline" and value not in ("", "null") and not re.search("['\"]", value):
        # one configuration, by one setting or several: Hydra's grammar wants them quoted
        settings = re.split(r",(?![^\[]*\])", re.sub(r"^\[(.*=.*)\]$", r"\1", value))
        return f"baseline=[{','.join(quoted(setting.strip()) for setting in settings)}]"
    if key == "settle" and not value.startswith("{"):
        return f"settle.enabled={value}"
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
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        flags.append(argument)
        if argument in takes_value and rest:
            optional = takes_value[argument] == "?"
            if not optional or not (rest[0].startswith("-") or "=" in rest[0]):
                flags.append(rest.pop(0))
    # completion reads the whole line, and would complete the separator
    separator = ["--"] if flags and overrides and "-sc" not in flags and "--shell-completion" not in flags else []
    return [*flags, *separator, *overrides]


def _check_flags(flags: Sequence[str]) -> None:
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
