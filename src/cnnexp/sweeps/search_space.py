"""What a search may try: the ends of each range, to be checked before the search begins."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from cnnexp.errors import CnnexpError

KNOWN = "a,b,c or range(1,9) or interval(0,0.5) or int(interval(16,128)) or tag(log,interval(1e-4,1e-1))"


def overrides_of(params: Mapping[str, Any] | None, typed: Sequence[str]) -> dict[str, Override]:
    """Return each key's override, what is typed before what an experiment gives."""
    given = [f"{key}={value}" for key, value in (params or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*given, *typed])
    return {override.get_key_element(): override for override in parsed}


def fixed(overrides: Mapping[str, Override]) -> list[str]:
    """Return the overrides that are the same in all trials."""
    return [str(override.input_line) for override in overrides.values() if not override.is_sweep_override()]


def probes(overrides: Mapping[str, Override]) -> list[list[str]]:
    """Return jobs that between them try the ends of every range and each of the choices.

    Raises CnnexpError where nothing is searched, and for a range that Optuna would refuse or misunderstand.
    """
    tried = {key: _ends(key, override) for key, override in overrides.items() if override.is_sweep_override()}
    if not tried:
        raise CnnexpError(
            "hydra/sweeper=optuna has nothing to search; give a setting a range, such as "
            "'optimizer.lr=tag(log,interval(1e-4,1e-1))'"
        )
    first = {key: values[0] for key, values in tried.items()}
    jobs = [first, *({**first, key: value} for key, values in tried.items() for value in values[1:])]
    return [[*fixed(overrides), *(f"{key}={value}" for key, value in job.items())] for job in jobs]


def _ends(key: str, override: Override) -> list[str]:
    value = override.value()
    strange = sorted(getattr(value, "tags", set()) - {"log"})
    if strange:
        raise CnnexpError(f"{override.input_line}: there is no tag {strange[0]}; the only one is log")
    if isinstance(value, ChoiceSweep) and override.is_choice_sweep():
        return list(override.sweep_string_iterator())
    if isinstance(value, RangeSweep):
        _refuse_backwards(override, value.start, value.stop)
        return [str(value.start), str(value.stop)]
    if isinstance(value, IntervalSweep):
        start, end = value.start, value.end
        _refuse_backwards(override, start, end)
        assert start is not None
        assert end is not None
        if "log" in value.tags and start <= 0:
            raise CnnexpError(f"{override.input_line}: a range by its logarithm begins above 0")
        return [str(start), str(end)]
    raise CnnexpError(f"{override.input_line}: a search tries {KNOWN}")


def _refuse_backwards(override: Override, start: float | None, end: float | None) -> None:
    if start is None or end is None or start >= end:
        raise CnnexpError(f"{override.input_line}: a range goes from the lower to the higher number")
