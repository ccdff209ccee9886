"""What is swept: the settings in which runs differ."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from cnnexp.reports.records import RunRecord
from cnnexp.runs import BUDGET, ELSEWHERE

# a seed makes a repetition, not another configuration
_NEVER = {"seed", "data.seed", *(key for key in ELSEWHERE if "." not in key)}
# not another experiment, unless that was the question
_ONLY_IF_TYPED = {"trainer", *ELSEWHERE}


def swept_settings(runs: Sequence[RunRecord]) -> list[str]:
    """Return the keys of the settings that differ between runs, those that were typed first.

    A config group counts under its name (``model``, ``optimizer``); settings that differ only because another
    choice brings other defaults don't count. Seeds are repetitions and don't count either.
    """
    typings, settings = [run.typed for run in runs], [run.settings for run in runs]
    typed = [key for key in dict.fromkeys(key for one in typings for key in one) if _differs(typings, key)]
    keys = {key for one in settings for key in one}
    # a config group's name, such as model, also begins other keys: model.dropout
    groups = {key.partition(".")[0] for key in keys if "." in key} & keys
    chosen = {group for group in ("experiment", *groups) if _differs(settings, group)}

    def counts(key: str) -> bool:
        explained_by = set() if key in BUDGET else chosen & {"experiment", key.partition(".")[0]} - {key}
        return key not in _ONLY_IF_TYPED and _differs(settings, key, sorted(explained_by))

    possible = {key for key in keys if not _never(key, runs)}
    return [key for key in typed if key in possible] + sorted(filter(counts, possible.difference(typed)))


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return for each dotted key its last part, or the whole where that would be ambiguous."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)}


def in_words(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return settings as they would be typed, under their short names."""
    return ", ".join(f"{names[key]}={shown_value(key, value)}" for key, value in values.items())


def shown_value(key: str, value: Any) -> str:
    """Return a setting's value as it would be typed."""
    if value is None:
        return {"data.train_size": "all", "callbacks": "none"}.get(key, "null")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(shown_value('', item) for item in value)}]"
    return str(value)


def shortened(text: str, longest: int) -> str:
    """Return a text cut to so many characters, the last an ellipsis where something is missing."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is a number: True is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def key_of(value: Any) -> tuple[Any, ...]:
    """Return what to group and to sort mixed values by: numbers, then lists, then texts; null (often: all) last.

    It is the same for 1 and 1.0, and another one for True.
    """
    if value is None:
        return (3,)
    if is_number(value):
        return (0, value)
    if isinstance(value, Mapping):
        value = sorted((str(key), item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return (1, tuple(key_of(item) for item in value))
    return (2, shown_value("", value))


def _differs(runs: Iterable[Mapping[str, Any]], key: str, explained_by: Sequence[str] = ()) -> bool:
    """Return whether a setting differs between runs that agree in the choices that explain its default."""
    values = defaultdict(set)
    for settings in runs:
        if key in settings:
            values[key_of([settings.get(group) for group in explained_by])].add(key_of(settings[key]))
    return any(len(several) > 1 for several in values.values())


def _is_known(run: RunRecord) -> bool:
    """Whether a run's data are the same wherever they lie."""
    by_name = run.settings.get("data.dataset")  # as records have it that are older than 0.2
    function = str(run.settings.get("data.dataset._target_", ""))
    known = ("cnnexp.data.digits.", "cnnexp.data.torchvision_sets.")
    return function.startswith(known) or (by_name is not None and by_name != "image_folder")


def _never(key: str, runs: Iterable[RunRecord]) -> bool:
    if key == "data.root":  # images of one's own are the data set itself; elsewhere it is where a known one lies
        return all(_is_known(run) for run in runs)
    return key in _NEVER or key.startswith(("logger.", "task.", "settle.")) or key.endswith("_partial_")
