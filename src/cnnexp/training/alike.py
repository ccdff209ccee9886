"""A value from a file against one that was made anew: whether it could have become of it."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_MOST = 1e15
"""No number of a training that is any use is larger."""


class Wrong(Exception):
    """What is wrong with a value, and where it is."""


def like(
    found: Any,
    own: Any,
    where: str,
    same: frozenset[str] = frozenset(),
    most: int | None = None,
    partly: bool = False,
) -> None:
    """Raise Wrong unless a value could have become of one's own: of its keys, kind, shape and sign.

    Args:
        found: in the file.
        own: made anew.
        where: its place in the file.
        same: names of settings, whose values must be equal.
        most: that a counter can have come to, beside what is a setting.
        partly: whether there may be further keys.
    """
    if isinstance(own, Mapping):
        same_keys(found, own, where, partly)
        most = None if most is None else most + max([0, *(v for v in own.values() if type(v) is int)])
        for key, value in own.items():
            if key in same and plain(found[key]) != plain(value):
                raise Wrong(
                    f"{where}.{key} is {str(found[key])[:60]} in the file and {value} in the run's settings"
                )
            like(found[key], value, f"{where}.{key}", same, most)
    elif isinstance(own, (list, tuple)):
        if not isinstance(found, (list, tuple)):
            raise Wrong(f"{where} is a {type(found).__name__}")
        of_length(found, len(own), where)
        for number, (value, mine) in enumerate(zip(found, own, strict=True)):
            like(value, mine, f"{where}[{number}]", same, most)
    elif isinstance(own, Tensor):
        like_tensor(found, own, where)
    elif own is None:
        if isinstance(found, Tensor):
            found = found.item() if found.numel() == 1 else math.nan
        if isinstance(found, float) and math.isnan(found):
            raise Wrong(f"{where} is no number")
        if not (found is None or isinstance(found, (bool, int, float, str))):
            raise Wrong(f"{where} is a {type(found).__name__}")
    elif isinstance(own, (bool, str)):
        if type(found) is not type(own):
            raise Wrong(f"{where} is a {type(found).__name__}")
        if isinstance(own, str) and own and found != own:
            raise Wrong(f"{where} is {str(found)[:60]!r}, not {own[:60]!r}")
    else:
        _number(found, own, where, most)


def _number(found: Any, own: Any, where: str, most: int | None) -> None:
    if type(found) is not int and not (type(found) is float and not isinstance(own, int)):
        raise Wrong(f"{where} is a {type(found).__name__}")
    if (
        found != found
        or (math.isinf(found) and not math.isinf(own))
        or (abs(found) > _MOST and not math.isinf(found))
    ):
        raise Wrong(f"{where} is {found}" if abs(found) < math.inf else f"{where} is no finite number")
    if not math.isinf(own) and found < min(0, own):
        raise Wrong(f"{where} is {found}")
    if most is not None and isinstance(own, int) and found > most + 1:
        raise Wrong(f"{where} is {found} after {most} batches")


def like_tensor(found: Any, own: Tensor, where: str, counts: bool = False) -> None:
    """Raise Wrong unless a tensor is of one's own's shape and kind, or of ``counts``, with finite values."""
    if not isinstance(found, Tensor):
        raise Wrong(f"{where} is a {type(found).__name__}, not a tensor")
    kinds = (own.is_floating_point(), not counts and own.is_floating_point())
    if found.shape != own.shape or found.is_floating_point() not in kinds:
        told = f"{found.dtype} of shape {tuple(found.shape)}"
        raise Wrong(f"{where} is {told}, not {own.dtype} of shape {tuple(own.shape)}")
    if found.is_floating_point() and found.numel():
        least, most = (float(edge) for edge in found.detach().float().aminmax())
        infinite = own.device.type != "meta" and not own.numel() > 1 and bool(own.isinf().any())
        if least != least or (max(-least, most) > _MOST and not (infinite and math.isinf(most))):
            raise Wrong(f"{where} has values that aren't finite, or beyond all use")


def same_keys(found: Any, own: Mapping[Any, Any], where: str, partly: bool = False) -> None:
    """Raise Wrong unless a value is a dict with one's own's keys; with more where it is ``partly`` that."""
    if not isinstance(found, dict):
        raise Wrong(f"{where} is a {type(found).__name__}, not a dict")
    if missing := [key for key in own if key not in found]:
        raise Wrong(f"{where} lacks {missing[0]}")
    if not partly and (foreign := [key for key in found if key not in own]):
        raise Wrong(f"{where} has a {str(foreign[0])[:60]}, which the run doesn't save")


def of_length(found: Any, count: int, where: str) -> None:
    """Raise Wrong unless a value is a list, or a tuple, of so many."""
    if not isinstance(found, (list, tuple)) or len(found) != count:
        raise Wrong(f"{where} isn't a list of {count}")


def part_of(found: Any, key: str, kind: type, where: str = "") -> Any:
    """Return an entry of a dict, of a kind."""
    name = f"{where}.{key}".lstrip(".")
    if not isinstance(found, dict) or key not in found:
        raise Wrong(f"{name} isn't there")
    if not isinstance(found[key], kind):
        raise Wrong(f"{name} is a {type(found[key]).__name__}, not a {kind.__name__}")
    return found[key]


def nested(node: Any, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each dict in a dict, with its place."""
    if not isinstance(node, dict):
        return []
    return [(where, node), *(pair for key, value in node.items() for pair in nested(value, f"{where}.{key}"))]


def plain(value: Any) -> Any:
    """Return a value to be compared: its tuples as lists, and nothing of a tensor, which no setting is."""
    if isinstance(value, Tensor):
        return Tensor
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return list(map(plain, value)) if isinstance(value, (list, tuple)) else value
