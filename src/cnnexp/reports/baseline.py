"""The configuration that a baseline names: ``baseline='model=ffnn'``."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from cnnexp.errors import CnnexpError
from cnnexp.reports.swept import in_words, key_of, short_names, shown_value


def named(baseline: Sequence[str], configurations: Sequence[Mapping[str, Any]]) -> int:
    """Return the index of the one configuration that has all of the settings.

    Args:
        baseline: settings as they are typed, such as ``model=ffnn``; of a key its last part is enough.
        configurations: the swept settings of each.

    Raises:
        CnnexpError: where they name none, or several.
    """
    keys = list(dict.fromkeys(key for values in configurations for key in values))
    short = {name: key for key, name in short_names(keys).items()}
    typed = f"baseline={','.join(baseline)}"
    wanted = {}
    for setting in baseline:
        key, equals, text = setting.partition("=")
        if not equals or short.get(key, key) not in keys:
            swept = f"swept are {', '.join(keys)}" if keys else "nothing is"
            raise CnnexpError(f"{typed}: {key} isn't swept here ({swept}); type baseline='KEY=VALUE'")
        wanted[short.get(key, key)] = text
    found = [
        index
        for index, values in enumerate(configurations)
        if all(key in values and _is(key, values[key], text) for key, text in wanted.items())
    ]
    if len(found) == 1:
        return found[0]
    names = [in_words(values, short_names(keys)) for values in configurations]
    if not found:
        raise CnnexpError(f"{typed} names no configuration of these: {_few(names)}")
    one = ",".join(f"{key}={shown_value(key, value)}" for key, value in configurations[found[0]].items())
    raise CnnexpError(
        f"{typed} names {len(found)} configurations: {_few([names[index] for index in found])}\n"
        f"Name one, such as baseline='{one}'"
    )


def as_list(baseline: Any) -> list[str]:
    """Return a setting ``baseline`` as a list of settings: it may be one, several or null."""
    if baseline is None:
        return []
    return [baseline] if isinstance(baseline, str) else [str(setting) for setting in baseline]


def typed_value(text: str) -> Any:
    """Return what a text means as a setting's value; ``1e-3`` is a number, which it isn't in YAML."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _is(key: str, value: Any, text: str) -> bool:
    """Return whether a text means a value, also of a group that takes several choices."""
    meant = typed_value(text)
    same = key_of(_plain(value)) in (key_of(_plain(meant)), key_of(_plain([meant])))
    return same or shown_value(key, value) == text


def _plain(value: Any) -> Any:
    return None if value in ("none", ["none"]) else value


def _few(names: Sequence[str], most: int = 6) -> str:
    left = len(names) - most
    return "; ".join(names[:most]) + (f"; and {left} more" if left > 0 else "")
