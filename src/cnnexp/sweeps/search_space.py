"""What a search may try, as Optuna has it, and its ends, to be checked before the search begins."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer

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


def space_of(overrides: Mapping[str, Override]) -> dict[str, Any]:
    """Return what each searched key may be, as one of ``optuna.distributions``.

    Raises CnnexpError where nothing is searched, and for a range that Optuna would refuse or misunderstand.
    """
    space = {key: _distribution(override) for key, override in overrides.items() if override.is_sweep_override()}
    if not space:
        raise CnnexpError(
            "hydra/sweeper=optuna has nothing to search; give a setting a range, such as "
            "'optimizer.lr=tag(log,interval(1e-4,1e-1))'"
        )
    return space


def chosen(params: Mapping[str, Any]) -> list[str]:
    """Return a trial's parameters as overrides."""
    return [f"{key}={value}" for key, value in params.items()]


def probes(overrides: Mapping[str, Override]) -> list[list[str]]:
    """Return jobs that between them try the ends of every range and each of the choices."""
    tried = {
        key: getattr(kind, "choices", None) or (kind.low, kind.high) for key, kind in space_of(overrides).items()
    }
    first = {key: values[0] for key, values in tried.items()}
    jobs = [first, *({**first, key: value} for key, values in tried.items() for value in values[1:])]
    return [[*fixed(overrides), *chosen(job)] for job in jobs]


def _distribution(override: Override) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value, line = override.value(), override.input_line
    if strange := sorted(getattr(value, "tags", set()) - {"log"}):
        raise CnnexpError(f"{line}: there is no tag {strange[0]}; the only one is log")
    if isinstance(value, ChoiceSweep) and override.is_choice_sweep():
        choices: Any = [Transformer.encode(element) for element in value.list]
        return CategoricalDistribution(choices)
    if not isinstance(value, (RangeSweep, IntervalSweep)):
        raise CnnexpError(f"{line}: a search tries {KNOWN}")
    low: Any = value.start
    high: Any = value.stop if isinstance(value, RangeSweep) else value.end
    if low is None or high is None or not low < high or not math.isfinite(high - low):
        raise CnnexpError(f"{line}: a range goes from the lower to the higher of two finite numbers")
    options: dict[str, Any] = {"log": "log" in value.tags}
    if options["log"] and low <= 0:
        raise CnnexpError(f"{line}: a range by its logarithm begins above 0")
    whole = isinstance(low, int) and isinstance(high, int)
    if isinstance(value, RangeSweep):
        if value.step <= 0 or options["log"]:
            raise CnnexpError(f"{line}: a range's step is above 0, and the same everywhere")
        whole, options["step"] = whole and isinstance(value.step, int), value.step
        start, step, end = (Decimal(str(number)) for number in (low, value.step, high))
        high = float(start + (end - start) // step * step)  # the last that a step leads to
    return IntDistribution(low, int(high), **options) if whole else FloatDistribution(low, high, **options)
