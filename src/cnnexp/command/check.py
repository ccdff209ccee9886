"""Check settings against the constructors they are for, before any data are read or any model is built.

There is no schema beside the code: a constructor's own annotations say what each setting may be.
"""

import contextlib
import inspect
import json
import math
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from cnnexp.command.choices import SEVERAL
from cnnexp.command.explain import nearest
from cnnexp.command.narrower import GIVEN, general, narrower, settling
from cnnexp.command.recorded import GROUPS, without_hydra
from cnnexp.command.resolvers import config_folder
from cnnexp.errors import CnnexpError

# loggers whose package isn't always there: its name, and the extra that installs it
_EXTRAS = {
    "lightning.pytorch.loggers.WandbLogger": ("wandb", "wandb"),
    "lightning.pytorch.loggers.MLFlowLogger": ("mlflow", "mlflow"),
    "lightning.pytorch.loggers.CometLogger": ("comet_ml", "comet"),
}
_MAY_LACK = ("metrics",)  # in older records


def check(config: DictConfig) -> None:
    """Raise CnnexpError for the first setting that its constructor's signature doesn't allow.

    What stands in conf/ as it was shipped is right, and importing its constructors would take seconds: only groups
    that were typed into are checked, unless the settings come from elsewhere too.
    """
    _require_groups(config)
    typed = _typed_into(config)
    settings: dict[str, Any] = OmegaConf.to_container(without_hydra(config), resolve=True)  # type: ignore[assignment]
    check_settings(settings, typed)


def check_settings(settings: Mapping[str, Any], typed: Collection[str] | None = None) -> None:
    """Do the same for plain values; where ``typed`` is given, only these groups are looked into."""
    missing = sorted(_missing(settings))
    if missing:
        raise CnnexpError(f"{missing[0]} has no value yet; type {missing[0]}=…")
    loose = inspect.signature(general).parameters
    groups = {key: value for key, value in settings.items() if isinstance(value, Mapping) and key not in loose}
    check_arguments(general, {key: value for key, value in settings.items() if key not in groups}, "")
    check_arguments(settling, settings.get("settle") or {}, "settle.")
    for path, node in _constructors(groups, ""):
        _require_package(path, node["_target_"])
        if typed is not None and path.partition(".")[0] not in typed:
            continue
        constructor = located(node["_target_"], f"{path}._target_")
        for key, source in GIVEN.get(path, {}).items():
            if key in node:
                raise CnnexpError(f"{path}.{key} would have no effect: it comes from {source}")
        arguments = {key: value for key, value in node.items() if not key.startswith("_")}
        check_arguments(constructor, arguments, f"{path}.")


def _require_groups(config: DictConfig) -> None:
    """Raise CnnexpError unless each group has its settings, and what is built from one a constructor."""
    for group in ("task", *GROUPS):
        node = config.get(group)
        if not isinstance(node, DictConfig):
            if group in _MAY_LACK and node is None:
                continue
            raise CnnexpError(f"{group} has no settings; type {group}=…, one of its choices")
        if group not in SEVERAL and "_target_" not in node:
            raise CnnexpError(f"{group}._target_ is missing; type {group}=…, one of its choices")


def _typed_into(config: DictConfig) -> set[str] | None:
    """Return the groups in which a value was typed; None where not only shipped config files are read."""
    if "hydra" not in config or config.hydra.job.config_name != "config":
        return None
    folders = {source.path for source in config.hydra.runtime.config_sources if source.schema == "file"}
    if folders != {str(config_folder())}:
        return None
    # a task's arguments may interpolate other settings, such as run
    typed = {"task"} if any(not str(key).startswith("_") for key in config.task) else set()
    for override in config.hydra.overrides.task:
        key, _, value = override.lstrip("+~").partition("=")
        if "." in key or value.startswith("{"):
            typed.add(key.partition(".")[0])
    return typed


def _require_package(path: str, target: Any) -> None:
    """Raise CnnexpError for no name, and for a logger whose package, which an extra brings, isn't here."""
    if not isinstance(target, str) or not target:
        raise CnnexpError(f"{path}._target_={json.dumps(target)} is no name of a class or function")
    package, extra = _EXTRAS.get(target, (None, None))
    if package is not None and find_spec(package) is None:
        raise CnnexpError(f'{path}: its package isn\'t installed; type: pip install "cnnexp[{extra}]"')


def check_arguments(constructor: Callable[..., Any], arguments: Mapping[str, Any], prefix: str) -> None:
    """Raise CnnexpError unless each argument fits the constructor's annotation of that name."""
    takers = _takers(constructor, arguments)
    try:
        signatures = [inspect.signature(taker).parameters for taker in takers]
    except (TypeError, ValueError):
        raise CnnexpError(f"{prefix}_target_: {constructor} doesn't say what arguments it takes") from None
    parameters = {name: parameter for signature in signatures for name, parameter in signature.items()}
    # `**options` of the constructor are arguments of the last
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signatures[-1].values()):
        for key in sorted(set(arguments) - set(parameters)):
            raise CnnexpError(f"{prefix}{key}: no such setting{nearest(key, parameters, prefix)}")
    adapters = {name: adapter for taker in takers for name, adapter in _adapters(taker).items()}
    for key, value in arguments.items():
        if not _finite(value):
            raise CnnexpError(f"{prefix}{key}={value} is not allowed: numbers are finite, whole ones below 2**63")
        if key not in adapters or (isinstance(value, Mapping) and "_target_" in value):
            continue
        try:
            # as JSON: numbers and texts keep their type, but a list may stand for a tuple
            adapters[key].validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            told = [_reason(part) for part in error.errors() if part["type"] != "is_instance_of"]
            reasons = _plain(list(dict.fromkeys(told)))
            shown = "null" if value is None else json.dumps(value)
            raise CnnexpError(f"{prefix}{key}={shown} is not allowed: {' or '.join(reasons)}") from None


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return abs(value) < 2**63 if isinstance(value, int) else not isinstance(value, float) or math.isfinite(value)


def _takers(constructor: Callable[..., Any], arguments: Mapping[str, Any]) -> list[Callable[..., Any]]:
    """Return what a node's arguments go to: its constructor, and what that names beside itself.

    A class may name a method that gets its own parameters after the construction (``AFTERWARDS``), and an argument
    that is a function which gets all that the class doesn't take itself (``PASSES_ON``).
    """
    takers = [constructor]
    if method := getattr(constructor, "AFTERWARDS", None):
        takers.append(getattr(constructor, method))
    node = arguments.get(getattr(constructor, "PASSES_ON", ""))
    if isinstance(node, Mapping) and "_target_" in node:
        takers.append(located(node["_target_"], "_target_"))
    return takers


def located(target: str, path: str) -> Any:
    """Return what a dotted name means; raises CnnexpError, naming the setting, where it can't be imported."""
    # hydra.utils.get_object does the same, but logs an error of its own
    from hydra._internal.utils import _locate

    try:
        found = _locate(target)
    except Exception as error:  # whatever importing a user's module may raise
        reason = repr(error.__cause__) if error.__cause__ else str(error).splitlines()[-1]
        raise CnnexpError(f"{path}={target} can't be imported: {reason}") from None
    if not callable(found):
        raise CnnexpError(f"{path}={target} is no class or function")
    return found


def _plain(reasons: Sequence[str]) -> Sequence[str]:
    """Leave out alternatives that can't be typed, such as a learning rate as a tensor."""
    return [reason for reason in reasons if "isinstance" not in reason] or reasons


@lru_cache(maxsize=256)
def _adapters(constructor: Callable[..., Any]) -> dict[str, TypeAdapter[Any]]:
    """Return, of each argument that says what it may be, what tells whether a value is."""
    adapters = {}
    for function in (_function(constructor), *narrower(constructor)):
        for name, annotation in getattr(function, "__annotations__", {}).items():
            # one by one: some are for type checkers only, and import nothing that they name
            one = SimpleNamespace(__annotations__={name: annotation})
            with contextlib.suppress(NameError, TypeError, PydanticSchemaGenerationError, PydanticUserError):
                hints = typing.get_type_hints(one, function.__globals__, include_extras=True)
                adapters[name] = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
    return adapters


def _function(constructor: Callable[..., Any]) -> Any:
    """Return what a constructor's arguments are written at: of a class the nearest ``__init__`` or ``__new__``."""
    if inspect.isclass(constructor):
        own = (vars(kind) for kind in inspect.getmro(constructor))
        names = (name for known in own for name in ("__init__", "__new__") if name in known)
        constructor = getattr(constructor, next(names))
    return inspect.unwrap(constructor)


def _reason(part: Any) -> str:
    message = part["msg"]
    place = ".".join(str(step) for step in part["loc"] if isinstance(step, int))
    message = message[:1].lower() + message[1:]
    return f"item {place}: {message}" if place else message


def _constructors(node: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = []
    if isinstance(node, Mapping):
        if "_target_" in node:
            found.append((path, node))
        for key, value in node.items():
            found += _constructors(value, f"{path}.{key}" if path else str(key))
    return found


def _missing(node: Any, path: str = "") -> list[str]:
    if isinstance(node, Mapping):
        return [m for key, value in node.items() for m in _missing(value, f"{path}.{key}" if path else str(key))]
    return [path] if node == "???" else []
